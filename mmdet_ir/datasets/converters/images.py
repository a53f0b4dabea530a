"""Image files of a source: found safely, read completely."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
_PLAIN_MODES = {'1': 'L', 'P': 'RGB', 'PA': 'RGBA'}  # colours instead of indices into a palette


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
    if not isinstance(name, str) or not name.strip() or '\0' in name:
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


def read_image(path: Path) -> np.ndarray:
    """Read a whole image, so that cut off files are noticed.

    Returns:
        ``[H, W]`` or ``[H, W, C]``, of the file's own depth, turned as its EXIF data says (as mmcv's loader does).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read to its end.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such image')
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            return np.asarray(image.convert(_PLAIN_MODES.get(image.mode, image.mode)))
    # Pillow's decoders raise a number of types for damaged files.
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path}: not a readable image: {error}') from error


def is_eight_bit(image: np.ndarray) -> bool:
    """Whether an image of more than 8 bits holds 8-bit levels only: all <= 255, or all multiples of 256 or 257."""
    if image.dtype.itemsize == 1:
        return True
    return bool(image.max() <= 255 or not (image % 256).any() or not (image % 257).any())


def grey_levels(image: np.ndarray) -> np.ndarray:
    """``[H, W]`` 8-bit grey levels; more than 8 bits are stretched between the 0.1 and the 99.9 percentile."""
    if image.ndim == 3:
        image = image[..., :3].mean(axis=-1) if image.shape[-1] >= 3 else image[..., 0]
        if image.max() <= 255:
            return image.astype(np.uint8)
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, (0.1, 99.9))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)
