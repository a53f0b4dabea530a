"""Single values of annotation files: numbers and flags as programs write them."""

import sys

from ..validation.repairs.values import as_number

_NO, _YES = ('', 'false', 'no', 'unspecified'), ('true', 'yes')  # the first may be left empty


def is_number(value: object) -> bool:
    """Whether this is a finite number; whole numbers that no float can hold are none."""
    largest = sys.float_info.max
    return isinstance(value, int | float) and not isinstance(value, bool) and -largest <= value <= largest


def as_flag(value: object, name: str) -> bool:
    """What a flag says that is a number or a word, also as text; None stands for no.

    Args:
        value: As the file has it.
        name: Of the flag, for the message.

    Raises:
        ValueError: If it is something else. The message is the reason alone.
    """
    word = value.strip().lower() if isinstance(value, str) else value
    number = as_number(word)
    if word is None or number in (0, 1):
        return number == 1
    if word in _NO or word in _YES:
        return word in _YES
    raise ValueError(f'{name} that is neither 0 nor 1')
