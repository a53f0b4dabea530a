"""Image files of a source, found safely."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath


def resolve_inside(src: Path, folder: Path, name: object, where: str) -> Path:
    r"""Path of a file that an annotation names, without touching the file system.

    Args:
        src: Folder that must not be left.
        folder: What ``name`` is relative to; ``src`` or a folder in it.
        name: As the annotation has it; ``..`` and ``\`` are allowed as long as the path stays in ``src``.
        where: For the message.

    Raises:
        ValueError: If ``name`` is no text, empty, absolute, or leads out of ``src``.
    """
    if not isinstance(name, str):
        raise ValueError(f'{where}: expected a file name, got {type(name).__name__}')
    if not name.strip() or '\0' in name:
        raise ValueError(f'{where}: expected a file name, got {name!r}')
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise ValueError(f'{where}: expected a file name relative to {folder}, got {name!r}')
    path = Path(os.path.normpath(folder / name.replace('\\', '/')))
    if not path.is_relative_to(os.path.normpath(src)):
        raise ValueError(f'{where}: expected a file inside {src}, got {name!r}, which leads out of it')
    return path


def name_in_set(src: Path, path: Path) -> str:
    """``file_name`` in the data set: the path in ``src``, without a first folder ``images`` or ``JPEGImages``."""
    parts = path.relative_to(os.path.normpath(src)).parts
    return '/'.join(parts[1:] if len(parts) > 1 and parts[0] in ('images', 'JPEGImages') else parts)
