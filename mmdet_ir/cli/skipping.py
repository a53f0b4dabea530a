"""Inputs that cannot be used: the others are, and the tool ends with 1 in place of 0."""

import contextlib
import os
import sys
from collections.abc import Iterator


class Skipped:
    """Inputs that were left out, each with its reason.

    Example:
        >>> from mmdet_ir.cli import Skipped
        >>> skipped = Skipped()
        >>> with skipped.unreadable('lost.png'):
        ...     raise ValueError('cannot read image lost.png')
        >>> skipped.reasons
        {'lost.png': 'cannot read image lost.png'}
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    @contextlib.contextmanager
    def unreadable(self, name: str | os.PathLike) -> Iterator[None]:
        """Within it, an input is read: where that fails, the input is noted, and nothing else of the block is done."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.reasons[str(name)] = str(error).strip()

    def require_some(self, used: object) -> None:
        """Ends with the first reason where nothing was left to use.

        Args:
            used: What was read; empty, if nothing was.

        Raises:
            ValueError: In that case.
        """
        if self.reasons and not used:
            name, reason = next(iter(self.reasons.items()))
            raise ValueError(f'none of the {len(self.reasons)} inputs could be used; the first: {name}: {reason}')

    def finish(self) -> None:
        """Tells what was skipped, and ends the tool with 1 if anything was."""
        for name, reason in self.reasons.items():
            sys.stderr.write(f'skipped: {reason if name in reason else f"{name}: {reason}"}\n')
        if self.reasons:
            sys.stderr.write(
                f'{len(self.reasons)} input{"s" * (len(self.reasons) > 1)} skipped; the rest is written\n'
            )
            sys.exit(1)


def reading(skipped: Skipped | None, name: str | os.PathLike) -> contextlib.AbstractContextManager:
    """``skipped.unreadable(name)``; without ``skipped`` an input that cannot be read is an error.

    Example:
        >>> from mmdet_ir.cli import Skipped, reading
        >>> skipped = Skipped()
        >>> with reading(skipped, 'lost.png'):
        ...     raise ValueError('cannot be read')
        >>> list(skipped.reasons)
        ['lost.png']
    """
    return contextlib.nullcontext() if skipped is None else skipped.unreadable(name)
