"""Files with the names under which they are shown, from a command line."""

from collections.abc import Sequence


def named_files(argument: str, entries: Sequence[str]) -> dict[str, str]:
    """Take ``NAME=FILE`` apart at the first ``=``.

    Raises:
        ValueError: If an entry has no name or no file, or a name occurs twice.
    """
    files = {}
    for entry in entries:
        name, _, file = entry.partition('=')
        if not name or not file:
            raise ValueError(f'{argument}: expected NAME=FILE, got {entry!r}')
        if name in files:
            raise ValueError(f'{argument}: expected each name once, got {name!r} twice')
        files[name] = file
    return files
