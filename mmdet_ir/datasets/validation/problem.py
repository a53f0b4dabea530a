"""One kind of problem in a data set, and how it is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN = 5  # entries, and kinds of problems, that a message names
_LONGEST = 200  # characters of an entry that a message shows
SEVERITIES = ('note', 'warning', 'error')  # the exit codes 0, 1 and 2 of tools/data/validate.py


@dataclass(frozen=True)
class Problem:
    """All entries of a file that have the same problem.

    Attributes:
        code: Short name, the same in every report.
        severity: ``error``: training refuses the set or would learn or score something wrong. ``warning``: probably
            wrong, a person has to look. ``note``: worth knowing.
        text: What is wrong, with the number of entries and the first of them.
        remedy: What to do about it.
        entries: Ids of annotations, images or categories, or file names; ``kind`` says which.
        kind: ``annotation``, ``image``, ``category``, ``file``, or nothing for the file as a whole.
        fixable: Whether ``--fix`` repairs it, at least where the repair is certain.
    """

    code: str
    severity: str
    text: str
    remedy: str
    entries: tuple = ()
    kind: str = ''
    fixable: bool = False

    @property
    def count(self) -> int:
        return len(self.entries) or 1


def shown(entries: Sequence) -> str:
    """The first entries, and how many more there are."""
    more = f' and {len(entries) - SHOWN} more' if len(entries) > SHOWN else ''
    return ', '.join(map(_plain, entries[:SHOWN])) + more


def _plain(entry: object) -> str:
    """A short text that cannot move a terminal's cursor or break the line."""
    text = str(entry)
    text = text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'
    return text if text.isprintable() else ascii(text)[1:-1]


def listed(
    code: str, severity: str, what: str, entries: Iterable, kind: str, remedy: str, fixable: bool = False
) -> list[Problem]:
    """The problem ``<number> <what>: <first entries>``, or nothing without entries."""
    entries = tuple(entries)
    text = f'{len(entries)} {what}: {shown(entries)}'
    return [Problem(code, severity, text, remedy, entries, kind, fixable)] if entries else []


def raise_errors(path: object, problems: Iterable[Problem], command: str = '') -> None:
    """Raise one error for all problems of severity ``error``.

    Args:
        path: The file that has them.
        problems: Of any severity.
        command: Command line that lists everything. With it the message names the remedies, too.

    Raises:
        FileNotFoundError: If nothing but image files is missing.
        ValueError: If there is any other error. The message names the number of problems and the first of them.
    """
    errors = [problem for problem in problems if problem.severity == 'error']
    if not errors:
        return
    lines = []
    for problem in errors[:SHOWN]:
        lines.append(f'{problem.text}. Remedy: {problem.remedy}' if command else problem.text)
    if len(errors) > 1:
        number = sum(problem.count for problem in errors)
        lines = [f'{number} problems of {len(errors)} kinds', *(f'  {line}' for line in lines)]
        if len(errors) > SHOWN:
            lines.append(f'  and {len(errors) - SHOWN} more kinds')
    if command:
        lines.append(f'Everything that is wrong with it, entry by entry: {command}')
    only_files = all(problem.code == 'image-missing' for problem in errors)
    raise (FileNotFoundError if only_files else ValueError)(f'{path}: ' + '\n'.join(lines))
