"""Arguments of two parts, such as NAME=FILE."""

from collections.abc import Iterable


def split_entry(argument: str, entry: str, form: str = 'NAME=FILE', *, last: bool = False) -> tuple[str, str]:
    """Takes an entry apart at its first ``=``.

    Args:
        argument: Whose entry it is, for the message.
        entry: As in ``'SOLOv2=detections.json'``.
        form: What is expected, for the message. Where it has brackets, as in ``CONFIG[=CHECKPOINT]``, the second part
            may be missing together with its ``=``, and is empty then.
        last: Take it apart at its last ``=``: the first part may hold others.

    Raises:
        ValueError: If a part is missing.

    Example:
        >>> from mmdet_ir.cli import split_entry
        >>> split_entry('detections', 'SOLOv2=found.segm.json')
        ('SOLOv2', 'found.segm.json')
    """
    if '=' not in entry and entry and '[' in form:
        return entry, ''
    first, _, second = entry.rpartition('=') if last else entry.partition('=')
    if not first or not second:
        raise ValueError(f'{argument}: expected {form}, got {entry!r}')
    return first, second


def named_entries(
    argument: str, entries: Iterable[str], form: str = 'NAME=FILE', *, last: bool = False
) -> dict[str, str]:
    """Takes every entry apart, see :func:`split_entry`.

    Raises:
        ValueError: If an entry lacks a part, or a name occurs twice.

    Example:
        >>> from mmdet_ir.cli import named_entries
        >>> named_entries('detections', ['a=a.json', 'b=b.json'])
        {'a': 'a.json', 'b': 'b.json'}
    """
    parts = {}
    for entry in entries:
        name, value = split_entry(argument, entry, form, last=last)
        if name in parts:
            raise ValueError(f'{argument}: expected each name once, got {name!r} twice')
        parts[name] = value
    return parts
