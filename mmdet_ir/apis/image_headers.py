"""What an image file from a stranger says about itself, before anything of it is decoded."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from ..datasets.converters.images import IMAGE_SUFFIXES

MAX_PIXELS = 9_000_000  # of one image: 4096x2160 fits. The masks of 100 detections then take 0.9 GB
_MAX_PAGES = 10_000
_TIFF, _NPY = ('.tif', '.tiff'), '.npy'
_WIDTH, _HEIGHT = 256, 257  # TIFF 6.0, tags ImageWidth and ImageLength


def check_image_file(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> None:
    """Refuses files that are no images by ending and content, and those that would fill the memory when decoded.

    Args:
        path: The file.
        max_pixels: Allowed for one image; each page of a stack counts for itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not what its ending says, or its header tells of too many pixels or pages.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f'image {path}: expected one of {", ".join(IMAGE_SUFFIXES)}, got {suffix!r}')
    if not path.is_file():
        raise FileNotFoundError(f'image not found: {path}; it may have been deleted, upload it again')
    try:
        for number, (width, height) in enumerate(_sizes(path, suffix), start=1):
            if number > _MAX_PAGES:
                raise ValueError(f'image {path}: expected at most {_MAX_PAGES} pages, got more')
            if width * height > max_pixels:
                raise ValueError(f'image {path}: expected at most {max_pixels} pixels, got {width}x{height}')
    except Image.DecompressionBombError:
        raise ValueError(f'image {path}: expected at most {max_pixels} pixels, got many more') from None
    except (UnidentifiedImageError, OSError, SyntaxError, KeyError, TypeError) as error:
        raise ValueError(f'cannot read image {path}: damaged, or not an image of the kind {suffix}') from error


def _sizes(path: Path, suffix: str) -> Iterator[tuple[int, int]]:
    """Width and height of each image in the file, from the header only."""
    if suffix == _NPY:
        yield from _npy_sizes(path)
    elif suffix in _TIFF:
        yield from _tiff_sizes(path)
    else:
        with Image.open(path, formats=('PNG', 'JPEG', 'BMP')) as header:
            yield header.size


def _npy_sizes(path: Path) -> Iterator[tuple[int, int]]:
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)  # refuses a header of more than the file holds
    except (ValueError, EOFError) as error:
        raise ValueError(f'cannot read image {path}: not a whole .npy file of numbers') from error
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3):
        raise ValueError(f'cannot read image {path}: expected one array (H, W) or a stack (N, H, W)')
    stack = array.ndim == 3 and array.shape[2] != 1
    yield array.shape[-1 if stack or array.ndim == 2 else 1], array.shape[1 if stack else 0]


def _tiff_sizes(path: Path) -> Iterator[tuple[int, int]]:
    """From the directories of the pages: unlike ``Image.open``, this does not depend on the kind of pixels."""
    with path.open('rb') as file:
        head = file.read(8)
        if len(head) == 8 and head[2:4] in (b'\x2b\x00', b'\x00\x2b'):  # BigTIFF
            head += file.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(head)
        while directory.next:
            file.seek(directory.next)
            directory.load(file)
            yield int(directory[_WIDTH]), int(directory[_HEIGHT])
