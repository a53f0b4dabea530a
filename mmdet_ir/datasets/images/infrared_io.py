"""Reading of infrared image files: 8 to 16 bits, temperatures, stacks; nothing is guessed, scaled or cut.

Needs NumPy, OpenCV and mmengine's file access; `flyr <https://pypi.org/project/flyr/>`_ for FLIR R-JPEG only.
"""

import io
import os
from pathlib import Path

import cv2
import numpy as np
from mmengine import fileio
from PIL import Image

from .image_limits import TIFF_STARTS, check_image, npy_shape

RJPEG_MODES = ('picture', 'celsius')
_TIFF = ('.tif', '.tiff')
_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR  # as stored, turned upright where EXIF says so
_EXACT_IN_FLOAT32 = 2**24
# For a damaged R-JPEG, and from Pillow for a huge one inside.
_FLYR_ERRORS = (ValueError, KeyError, IndexError, OSError, OverflowError, Image.DecompressionBombError)


def read_infrared(
    path: str | os.PathLike,
    *,
    page: int | None = None,
    rjpeg: str = 'picture',
    backend_args: dict | None = None,
) -> np.ndarray:
    """Reads an image file with the values that it holds.

    Args:
        path: PNG, JPEG, BMP or TIFF (anything that OpenCV decodes), or ``.npy``.
        page: Which image of a stack (TIFF pages, or the first axis of an ``.npy``), from 0. ``None``: the only one.
        rjpeg: What to take from a FLIR R-JPEG: ``'picture'``, the 8-bit picture that every viewer shows, or
            ``'celsius'``, the temperatures behind it, with the emissivity and distance that the camera stored. With
            ``'celsius'`` every JPEG has to be an R-JPEG.
        backend_args: Of mmengine's file access; ``None`` for local files.

    Returns:
        uint8 ``[H, W]``, or ``[H, W, 3]`` BGR from a colour file; uint16 counts ``[H, W]`` from integers of more bits
        within 0..65535; else float32 ``[H, W]``, in the file's own unit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded, is larger than ``image_limits`` allows, holds NaN or infinite values,
            values that float32 cannot hold, colours of more than 8 bits, or if ``page`` is missing for a stack or
            beyond its end.
        ImportError: If ``rjpeg='celsius'`` and flyr is not installed.
    """
    if rjpeg not in RJPEG_MODES:
        raise ValueError(f'rjpeg: expected one of {RJPEG_MODES}, got {rjpeg!r}')
    if page is not None and (not isinstance(page, int | np.integer) or not 0 <= page < 1 << 31):
        raise ValueError(f'image {path}: expected a page number from 0 on, got {page!r}')
    try:
        if page is not None and backend_args is None and Path(path).is_file():
            image = _read_local_page(path, page)
            if image is not None:
                return as_plain_type(image, path)
        content = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'image not found: {path}') from error
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise ValueError(f'cannot read image {path}: {error.strerror}') from error
    try:
        image = _decode(content, path, page, rjpeg)
    except cv2.error as error:  # else OpenCV returns None for what it cannot decode
        raise ValueError(f'cannot read image {path}: more pixels than OpenCV decodes, or damaged') from error
    if image is None:
        raise _damaged(path)
    return as_plain_type(image, path)


def count_pages(path: str | os.PathLike) -> int:
    """Number of images in a local file: the pages of a TIFF, the length of an ``.npy`` stack, else 1.

    Only the headers are read, so a count does not say that the images can be.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has no readable header.
    """
    suffix = Path(path).suffix.lower()
    if not Path(path).is_file():
        raise FileNotFoundError(f'image not found: {path}')
    if suffix == '.npy':
        shape = _map_npy(path).shape
        return shape[0] if len(shape) == 3 and shape[2] != 1 else 1
    pages = cv2.imcount(str(path), _FLAGS) if _is_tiff(path) else 1
    if not pages:
        raise _damaged(path)
    return pages


def eight_bit_content(image: np.ndarray) -> str | None:
    """Tells an 8-bit picture in a 16-bit container from real counts.

    Args:
        image: uint16, any shape.

    Returns:
        What gives it away: no value above 255, or multiples of 256 or 257 only (bits shifted or repeated). ``None``
        for real counts, and for a constant image above 255, which could be either.
    """
    low, high = int(image.min()), int(image.max())
    if high <= 255:
        return f'no value exceeds {high}'
    for step in (256, 257):
        if low < high and not (image[:1] % step).any() and not (image % step).any():
            return f'all values are multiples of {step}'
    return None


def to_single_channel(image: np.ndarray, name: str | os.PathLike) -> np.ndarray:
    """Takes one of three equal channels.

    Args:
        image: ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        name: For the message.

    Returns:
        ``[H, W]``.

    Raises:
        ValueError: If the channels differ, as in a picture with a colour palette.
    """
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f'image {name}: expected shape (H, W), (H, W, 1) or (H, W, 3), got {image.shape}')
    first = np.ascontiguousarray(image[..., 0])
    for other in range(1, image.shape[2]):
        if not np.array_equal(first, image[..., other]):
            raise ValueError(
                f'image {name}: expected grey values (one channel, or three equal ones), got colours; a false-colour '
                f'picture cannot be turned back into intensities: export the recording without a palette'
            )
    return first


def repeat_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """``[H, W]`` to ``[H, W, 3]`` with equal channels for ``channels=3``; unchanged for ``channels=1``."""
    return image if channels == 1 else cv2.merge([image] * channels)


def _decode(content: bytes, path: str | os.PathLike, page: int | None, rjpeg: str) -> np.ndarray | None:
    suffix = Path(path).suffix.lower()
    if suffix == '.npy':
        return _read_npy(content, path, page)
    if not content:
        raise ValueError(f'cannot read image {path}: the file is empty')
    check_image(content, path, page)
    if suffix in _TIFF and content.startswith(TIFF_STARTS):
        return _read_tiff(content, path, page)
    if page:
        raise ValueError(f'image {path}: expected a TIFF or .npy stack for page {page}, got a single image')
    if rjpeg == 'celsius' and suffix in ('.jpg', '.jpeg'):
        return _read_rjpeg(content, path)
    return cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS)


def _is_tiff(path: str | os.PathLike) -> bool:
    """By name and content: OpenCV's reader of stacks does not come to an end on some damaged files of other kinds."""
    if Path(path).suffix.lower() not in _TIFF:
        return False
    with Path(path).open('rb') as file:
        return file.read(4).startswith(TIFF_STARTS)


def _map_npy(path: str | os.PathLike) -> np.ndarray:
    with Path(path).open('rb') as file:
        npy_shape(file, path)
    return np.load(path, mmap_mode='r', allow_pickle=False)


def _read_local_page(path: str | os.PathLike, page: int) -> np.ndarray | None:
    """A page of a stack without the rest of the file in memory; None for what has to be read as a whole, or fails."""
    suffix = Path(path).suffix.lower()
    if suffix == '.npy':
        stack = _map_npy(path)
        check_image(path, path, page)
        return np.array(stack[page]) if stack.ndim == 3 and stack.shape[2] != 1 and page < len(stack) else None
    if _is_tiff(path):
        check_image(path, path, page)
        try:
            readable, pages = cv2.imreadmulti(str(path), int(page), 1, flags=_FLAGS)
        except cv2.error:  # the reader of whole files says what is wrong
            return None
        return pages[0] if readable and len(pages) == 1 else None
    return None


def _damaged(path: str | os.PathLike) -> ValueError:
    return ValueError(f'cannot read image {path}: damaged, cut off, or not an image file')


def _read_npy(content: bytes, path: str | os.PathLike, page: int | None) -> np.ndarray:
    if content.startswith(b'PK'):
        raise ValueError(f'cannot read image {path}: expected one array, got an archive (.npz) under the name .npy')
    file = io.BytesIO(content)
    npy_shape(file, path)
    check_image(content, path, page)
    file.seek(0)
    try:
        array = np.load(file, allow_pickle=False)
    except ValueError as error:  # headers that only NumPy refuses
        raise _damaged(path) from error
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        return _take_page([array], 1, path, page)
    if array.ndim != 3:
        raise ValueError(f'image {path}: expected an array (H, W) or a stack (N, H, W), got {array.shape}')
    return _take_page(array, len(array), path, page)


def _read_tiff(content: bytes, path: str | os.PathLike, page: int | None) -> np.ndarray:
    # Without a page number, two pages are asked for, to notice a stack.
    span = (0, 2) if page is None else (page, page + 1)
    data = np.frombuffer(content, np.uint8)
    readable, pages = cv2.imdecodemulti(data, _FLAGS, range=span)
    if readable and pages:
        return _take_page(pages, len(pages), path, None if page is None else 0)
    first = cv2.imdecodemulti(data, _FLAGS, range=(0, 1))[0] if page else False
    if first:
        raise ValueError(f'image {path}: the stack has no page {page} (counted from 0), or that page is damaged')
    raise _damaged(path)


def _take_page(pages: np.ndarray | tuple | list, number: int, path: str | os.PathLike, page: int | None) -> np.ndarray:
    if page is None and number != 1:
        raise ValueError(
            f'image {path}: is a stack of more than one image, and the annotation file does not say which of them: '
            f'expected a field "page" (from 0) in the entry of "images"'
        )
    index = page or 0
    if index >= number:
        raise ValueError(f'image {path}: expected a page from 0 to {number - 1}, got {page}')
    return pages[index]


def _read_rjpeg(content: bytes, path: str | os.PathLike) -> np.ndarray:
    if b'FLIR\x00' not in content:
        raise ValueError(
            f"image {path}: expected a FLIR R-JPEG for rjpeg='celsius', got a JPEG without FLIR's thermal data; "
            f"programs that edit pictures drop it. rjpeg='picture' loads the 8-bit picture"
        )
    try:
        import flyr
    except ImportError as error:
        raise ImportError(f"image {path}: rjpeg='celsius' needs the package flyr: pip install flyr") from error
    try:
        return np.asarray(flyr.unpack(io.BytesIO(content)).celsius, np.float32)
    except _FLYR_ERRORS as error:
        raise ValueError(f'cannot read the thermal data of R-JPEG {path}: {error}') from error


def as_plain_type(image: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Turns an array of numbers into what ``read_infrared`` returns, without loss.

    Args:
        image: ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        path: For the messages.

    Raises:
        ValueError: As ``read_infrared`` does, for what is no image or not finite.
    """
    if image.size == 0:
        raise ValueError(f'image {path}: expected pixels, got an array of shape {image.shape}')
    if image.dtype.kind not in 'uif':
        raise ValueError(f'image {path}: expected integers or floating-point numbers, got {image.dtype}')
    if image.dtype == np.uint8:
        return image if image.ndim == 3 and image.shape[2] == 3 else to_single_channel(image, path)
    image = to_single_channel(image, path)
    if image.dtype.kind == 'f':
        with np.errstate(over='ignore'):
            converted = image.astype(np.float32, copy=False)
        finite = np.isfinite(converted)
        if not finite.all():
            raise ValueError(
                f'image {path}: {int((~finite).sum())} of {finite.size} values are NaN, infinite or beyond float32; '
                f'replace dead pixels by the mean of their neighbours when exporting'
            )
        return converted
    if image.dtype == np.uint16:
        return image
    low, high = int(image.min()), int(image.max())
    if low >= 0 and high <= np.iinfo(np.uint16).max:
        return image.astype(np.uint16)
    if max(-low, high) <= _EXACT_IN_FLOAT32:
        return image.astype(np.float32)
    raise ValueError(f'image {path}: expected values within +-{_EXACT_IN_FLOAT32}, got {low} to {high}')
