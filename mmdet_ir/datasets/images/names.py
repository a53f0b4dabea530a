"""Which image file a name means that another program wrote.

Labelling tools write where a picture was on their machine, in the spelling of their system: ``C:\\ir\\a.png``,
``../upload/4/a.png``, ``a%20b.png``, an accent as a character of its own, another ending or none.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from .files import image_suffixes

_LONGEST = 4000  # characters; no file system has longer paths


class FileNames:
    """Files of one folder, to be found by names that are not quite theirs.

    A name means a file if it, or its end from one of its folders on, is the file's whole path but for the kind of
    separators, ``%XX``, Unicode's composed and decomposed characters, and white space; else but for upper and lower
    case as well; else but for the ending. Where two files come into question, the name means none of them.

    Args:
        files: Paths relative to the folder.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._tables = [defaultdict(list) for _ in _KEYS]
        for file in files:
            for table, key in zip(self._tables, _KEYS, strict=True):
                table[key(_plain(file))].append(file)

    def find(self, name: object) -> str | None:
        """The file that ``name`` means, or None."""
        if not isinstance(name, str) or len(name) > _LONGEST:
            return None
        ends = list(_ends(name))
        for table, key in zip(self._tables, _KEYS, strict=True):
            for end in ends:
                found = table.get(key(end), ())
                if found:
                    return found[0] if len(found) == 1 else None
        return None


def match_names(names: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """The files that names mean of which no file of exactly this name is there.

    A file that two names mean, or that one of the names has exactly, is nobody's.

    Args:
        names: All names that are in use, those of existing files included.
        files: Paths relative to the folder that the names are relative to.
    """
    names, files = {name for name in names if isinstance(name, str)}, set(files)
    known = FileNames(sorted(files))
    found = {name: known.find(name) for name in names - files}
    claims = Counter(found.values())
    return {name: file for name, file in found.items() if file and claims[file] == 1 and file not in names}


def _plain(path: str) -> str:
    parts = unicodedata.normalize('NFC', path).replace('\\', '/').split('/')
    return '/'.join(part.strip() for part in parts)


def _without_ending(path: str) -> str:
    return path[: -len(Path(path).suffix)] if Path(path).suffix.lower() in image_suffixes() else path


_KEYS = (str, str.casefold, lambda path: _without_ending(path).casefold())


def _ends(name: str) -> Iterator[str]:
    """The name and what is left of it without its first folders, longest first."""
    query = re.search(r'[?#][^/]*$', name)  # of a link to a file
    link = name[: query.start()] if query else name
    texts = (name, link) if Path(unquote(link)).suffix.lower() in image_suffixes() else (name,)
    for text in dict.fromkeys((*texts, *map(unquote, texts))):
        parts = [part for part in _plain(text).split('/') if part not in ('', '.', '..')]
        yield from ('/'.join(parts[i:]) for i in range(len(parts)))
