"""Which recording an image belongs to, from its folder or its file name."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from .coco_files import refuse

FOLDER = 'folder'
_PARTS = frozenset(('train', 'val', 'valid', 'validation', 'test', 'images'))  # folders that are no recordings


def recordings_of(names: Sequence[str], source: str) -> list[str]:
    r"""Names of the recordings of images.

    Args:
        names: ``file_name`` of each image.
        source: ``'folder'`` for the folder that the image is in; else a regular expression that is searched in the
            file name: its first group, or all that it matches, is the recording.

    Returns:
        A name for each image.

    Raises:
        ValueError: If the expression is none, an image has no recording, or all images have the same one.

    Example:
        >>> recordings_of(['day/a_001.png', 'day/b_001.png'], r'/(\w+)_\d+')
        ['a', 'b']
        >>> recordings_of(['day/1.png', 'night/1.png'], 'folder')
        ['day', 'night']
    """
    where = f'--clip-from {source}'
    found = [_folder(name) for name in names] if source == FOLDER else _matches(names, source, where)
    lacking = [name for name, clip in zip(names, found, strict=True) if not clip]
    refuse(where, 'images whose file name does not tell the recording', lacking)
    if len(set(found)) == 1 and len(names) > 1:
        hint = '; a regular expression may find them in the file names' if source == FOLDER else ''
        raise ValueError(f'{where}: expected 2 recordings or more, got {found[0]!r} for all {len(names)} images{hint}')
    return found


def _folder(name: str) -> str:
    parts = PurePosixPath(name).parent.parts
    return '/'.join(part for part in parts if part.lower() not in _PARTS)


def _matches(names: Sequence[str], source: str, where: str) -> list[str]:
    try:
        pattern = re.compile(source)
    except re.error as error:
        raise ValueError(f'{where}: expected "folder" or a regular expression, got {source!r} ({error})') from error
    matches = [pattern.search(name) for name in names]
    return [(match[1] if pattern.groups else match[0]) or '' if match else '' for match in matches]
