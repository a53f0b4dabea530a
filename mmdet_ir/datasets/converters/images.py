"""Image files of a source, found safely."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from ..infrared_io import eight_bit_content

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.npy')


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


def find_images(folder: Path) -> list[Path]:
    """Image files below ``folder``, sorted by path; hidden ones are no images."""
    return sorted(p for p in folder.rglob('*') if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith('.'))


def is_eight_bit(image: np.ndarray) -> bool:
    """Whether an image (uint8, uint16 or float32) holds 8-bit levels only, whatever its type."""
    return image.dtype == np.uint8 or (image.dtype == np.uint16 and eight_bit_content(image) is not None)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """``[H, W]`` 8-bit grey levels; other types are stretched between the 0.1 and the 99.9 percentile."""
    if image.ndim == 3:  # colours have 8 bits
        return image.mean(axis=-1).astype(np.uint8)
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, (0.1, 99.9))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)
