"""Reading of infrared image files: 8 to 16 bits, temperatures, stacks; nothing is guessed, scaled or cut.

Needs NumPy, OpenCV and mmengine's file access; ``flyr`` for FLIR R-JPEG only.
"""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from mmengine import fileio
from mmengine.logging import MMLogger
from PIL import Image

from ...cli.choices import RJPEG_MODES
from ...fileio import require_path
from .headers import ImageHeader, jpeg_fault, kind_of, read_headers
from .image_limits import check_image
from .readers import count_registered, read_registered, reader_of
from .tiff_header import PACKED
from .values import as_plain_type

STACKS = ('TIFF', 'NPY')
_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR  # as stored, turned upright where EXIF says so
_COMMON = ('none', 'LZW', 'deflate', 'PackBits')  # compressions that every build of OpenCV decodes
_END_OF_JPEG, _START_OF_SCAN = b'\xff\xd9', b'\xff\xda'
# How EXIF's numbers turn an image upright: whether rows and columns change places, then which of them are reversed.
_TURNS = {2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1), 5: (True, 1, 1)}
_TURNS |= {6: (True, 1, -1), 7: (True, -1, -1), 8: (True, -1, 1)}
# For a damaged R-JPEG, and from Pillow for a huge one inside.
_FLYR_ERRORS = (ValueError, KeyError, IndexError, OSError, OverflowError, Image.DecompressionBombError)
# Settings of R-JPEG, as flyr calls them.
_RJPEG_SETTINGS = {
    'emissivity': 'emissivity',
    'reflected': 'reflected_apparent_temperature',
    'distance': 'object_distance',
}
_told: set[str] = set()


def read_infrared(
    path: str | os.PathLike,
    *,
    page: int | None = None,
    rjpeg: str = 'picture',
    rjpeg_settings: Mapping[str, float] | None = None,
    backend_args: dict | None = None,
) -> np.ndarray:
    """Reads an image file with the values that it holds.

    The content decides what kind of file it is, not the name. What is decoded is held against the header; where the
    decoder would lose bits, values of a pixel, transparency or further images, the file is refused.

    Args:
        path: PNG, JPEG, BMP or TIFF (anything that OpenCV decodes), ``.npy``, or by its ending a file of a registered
            reader (DICOM, cameras' own formats), see ``register_reader``.
        page: Which image of a stack (TIFF pages, or the first axis of an ``.npy``), from 0. ``None``: the only one.
            Reduced copies and masks within a TIFF do not count.
        rjpeg: What to take from a FLIR R-JPEG: ``'picture'``, the 8-bit picture that every viewer shows, or
            ``'celsius'``, the temperatures behind it, with the emissivity and distance that the camera stored. With
            ``'celsius'`` every JPEG has to be an R-JPEG.
        rjpeg_settings: For ``'celsius'``, what replaces the settings that the camera stored: ``emissivity`` (0 to 1),
            ``reflected`` (apparent temperature of the surroundings, degrees Celsius), ``distance`` (metres).
        backend_args: Of mmengine's file access; ``None`` for local files.

    Returns:
        uint8 ``[H, W]``, or ``[H, W, 3]`` BGR from a colour file; uint16 counts ``[H, W]`` from integers of more bits
        within 0..65535; else float32 ``[H, W]``, in the file's own unit. Turned upright where the file has an EXIF
        orientation, as viewers do; the first such file of a folder is told in the log.

    Raises:
        FileNotFoundError: If there is no such file.
        SwappedBytesError: If the bytes of 16-bit values have changed places.
        TypeError: If ``path`` is no path.
        ValueError: If it cannot be decoded, or not without a loss, is larger than ``image_limits`` allows, holds NaN
            or infinite values, values that float32 cannot hold, colours of more than 8 bits, or if ``page`` is missing
            for a stack or beyond its end.
        ImportError: If ``rjpeg='celsius'`` and flyr is not installed.

    Example:
        >>> from mmdet_ir.datasets.images import read_infrared
        >>> image = read_infrared('images/0.png')  # as stored, neither cut to 8 bits nor stretched
        >>> image.dtype, image.shape
        (dtype('uint16'), (60, 88))
    """
    settings = {'rjpeg': rjpeg, 'rjpeg_settings': rjpeg_settings, 'backend_args': backend_args}
    image, header = read_with_header(path, page=page, **settings)
    tell_turned(header, path)
    return image


def check_rjpeg_settings(rjpeg: str, settings: Mapping[str, float] | None) -> None:
    """Refuses settings of R-JPEG that mean nothing.

    Raises:
        ValueError: For an unknown name, a value out of its range, or settings without ``rjpeg='celsius'``.
    """
    if not settings:
        return
    if rjpeg != 'celsius':
        raise ValueError(f"rjpeg_settings: expected rjpeg='celsius' beside {dict(settings)}, got {rjpeg!r}")
    ranges = {'emissivity': (0.01, 1.0), 'reflected': (-273.15, 3000.0), 'distance': (0.0, 1e5)}
    for name, value in settings.items():
        if name not in ranges:
            raise ValueError(f'rjpeg_settings: expected names out of {list(ranges)}, got {name!r}')
        low, high = ranges[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f'rjpeg_settings: {name}: expected a number from {low:g} to {high:g}, got {value!r}')


def read_with_header(
    path: str | os.PathLike,
    *,
    page: int | None = None,
    rjpeg: str = 'picture',
    rjpeg_settings: Mapping[str, float] | None = None,
    backend_args: dict | None = None,
) -> tuple[np.ndarray, ImageHeader]:
    """As ``read_infrared``, and what the file says about the image; an orientation is not told in the log."""
    require_path(path)
    if rjpeg not in RJPEG_MODES:
        raise ValueError(f'rjpeg: expected one of {RJPEG_MODES}, got {rjpeg!r}')
    check_rjpeg_settings(rjpeg, rjpeg_settings)
    if page is not None and (not isinstance(page, int | np.integer) or not 0 <= page < 1 << 31):
        raise ValueError(f'image {path}: expected a page number from 0 on, got {page!r}')
    reader = reader_of(path)
    try:
        if reader is not None:
            image, header = read_registered(reader, path, page, backend_args)
            return as_plain_type(image, path), header
        source = _open(path, page, backend_args)
        header = find_image(source, path, page)
        image = _decode(source, header, path, rjpeg, rjpeg_settings)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'image not found: {path}') from error
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise ValueError(f'cannot read image {path}: {error.strerror}') from error
    except cv2.error as error:  # else OpenCV returns None for what it cannot decode
        raise ValueError(f'cannot read image {path}: more pixels than OpenCV decodes, or damaged') from error
    return as_plain_type(image, path), header


def tell_turned(header: ImageHeader, path: str | os.PathLike) -> None:
    """Tells in the log that an image was turned; once for each folder and process."""
    folder = str(Path(path).parent)
    if header.orientation > 1 and folder not in _told:
        _told.add(folder)
        MMLogger.get_current_instance().warning(
            f'image {path}: {turned(header)}. Boxes and masks have to be those of the upright picture; further files '
            f'of {folder} are not told, tools/data/validate.py lists them'
        )


def turned(header: ImageHeader) -> str:
    """Says how an image was turned."""
    return f'its EXIF orientation {header.orientation} turns the stored {header.width}x{header.height} pixels upright'


def count_pages(path: str | os.PathLike) -> int:
    """Number of images in a local file: the pages of a TIFF, the length of an ``.npy`` stack, else 1.

    Only the headers are read, so a count does not say that the images can be. Reduced copies and masks within a TIFF
    do not count.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has no readable header.

    Example:
        >>> from mmdet_ir.datasets.images import count_pages
        >>> count_pages('images/0.png')
        1
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'image not found: {path}')
    reader = reader_of(path)
    if reader is not None:
        return count_registered(reader, path)
    with Path(path).open('rb') as file:
        if kind_of(file.read(32)) not in STACKS:
            return 1
        file.seek(0)
        return sum(1 for _ in read_headers(file, path))


def _open(path: str | os.PathLike, page: int | None, backend_args: dict | None) -> bytes | Path:
    """The content of a file; the path of a local stack of which one page is wanted, so that only this page is read."""
    if page is not None and backend_args is None and Path(path).is_file():
        with Path(path).open('rb') as file:
            if kind_of(file.read(32)) in STACKS:
                return Path(path)
    content = fileio.get(path, backend_args=backend_args)
    if content.startswith(b'PK') and Path(path).suffix.lower() == '.npy':
        raise ValueError(f'cannot read image {path}: expected one array, got an archive (.npz) under the name .npy')
    if Path(path).suffix.lower() == '.npy' and not kind_of(content[:32]):
        raise ValueError(
            f'cannot read image {path}: not a whole .npy file of numbers (another kind of file, or empty)'
        )
    if not content:
        raise ValueError(f'cannot read image {path}: the file is empty')
    return content


def find_image(
    source: bytes | Path, path: str | os.PathLike, page: int | None, limit: int | None = None
) -> ImageHeader:
    """Header of the image that is wanted; refuses what cannot be decoded without a loss.

    Args:
        source: Content of the file, or its path.
        path: For the messages.
        page: See ``read_infrared``.
        limit: Of its pixels; defaults to ``pixel_limit()``.

    Raises:
        ImageTooLargeError: If it has more pixels.
        ValueError: If there is no such image, or reading it would lose something.
    """
    headers = check_image(source, path, page, limit)
    if not headers:
        if isinstance(source, bytes) and kind_of(source[:32]) not in STACKS:
            raise ValueError(f'image {path}: expected a TIFF or .npy stack for page {page}, got a single image')
        raise ValueError(f'image {path}: expected pixels, or for a stack a page that it has, got page {page or 0}')
    if len(headers) > 1:
        raise ValueError(
            f'image {path}: is a stack of more than one image, and the annotation file does not say which of them: '
            f'expected a field "page" (from 0) in the entry of "images"'
        )
    if headers[0].fault:
        raise ValueError(
            f'image {path}: cannot be read without a loss: it holds {headers[0].fault}. Write its values as a TIFF or '
            f'PNG of 8 or 16 bits with one value for each pixel, or as .npy with numpy.save'
        )
    return headers[0]


def _decode(
    source: bytes | Path,
    header: ImageHeader,
    path: str | os.PathLike,
    rjpeg: str,
    settings: Mapping[str, float] | None,
) -> np.ndarray:
    if header.kind == 'NPY':
        return _read_npy(source, header, path)
    if header.kind == 'JPEG' and rjpeg == 'celsius':
        return turn_upright(_read_rjpeg(source, path, settings), header.orientation)
    image = _decode_picture(source, header, _FLAGS)
    if image is None or (header.kind == 'JPEG' and _cut_off(source)):
        reason = 'damaged, cut off, or not an image file'
        if image is not None:
            reason = 'cut off (no end of the JPEG data)'
        elif header.kind == 'JPEG':
            reason = jpeg_fault(io.BytesIO(source)) or reason
        elif header.compression and header.compression not in _COMMON:
            reason = f'OpenCV does not decode its compression ({header.compression}); write it with LZW or deflate'
        raise ValueError(f'cannot read image {path}: {reason}')
    if header.bits in PACKED and header.kind == 'TIFF' and not (image & ((1 << 16 - header.bits) - 1)).any():
        image = image >> (16 - header.bits)  # OpenCV unpacks them into the upper bits
    _check_loss(image, header, path)
    if header.alpha:
        whole = _decode_picture(source, header, cv2.IMREAD_UNCHANGED)
        if whole is not None and whole.ndim == 3 and whole.shape[2] == 4:
            transparent = int((whole[..., 3] != np.iinfo(whole.dtype).max).sum())
            if transparent:
                raise ValueError(
                    f'image {path}: {transparent} of {image.shape[0] * image.shape[1]} pixels are transparent, which '
                    f'would be lost; expected an image without an alpha channel'
                )
    return image


def _decode_picture(source: bytes | Path, header: ImageHeader, flags: int) -> np.ndarray | None:
    """What OpenCV decodes; ``None`` for what it cannot."""
    if header.kind != 'TIFF':
        return cv2.imdecode(np.frombuffer(source, np.uint8), flags)
    place = header.position
    if isinstance(source, Path):
        readable, pages = cv2.imreadmulti(str(source), place, 1, flags=flags)
    else:
        readable, pages = cv2.imdecodemulti(np.frombuffer(source, np.uint8), flags, range=(place, place + 1))
    return pages[0] if readable and len(pages) == 1 else None


def _check_loss(image: np.ndarray, header: ImageHeader, path: str | os.PathLike) -> None:
    """Refuses an image that is not what its header says."""
    kind, bits = image.dtype.kind, 8 * image.dtype.itemsize
    form = kind == header.form or (header.form == 'u' and kind == 'i' and image.min() >= 0)
    if image.shape[:2] != header.upright:
        got, said = f'height and width {image.shape[:2]}', str(header.upright)
    elif header.bits > bits or (header.bits and not form):
        got, said = image.dtype.name, f'{ {"u": "uint", "i": "int", "f": "float"}[header.form] }{header.bits}'
    elif header.samples in (3, 4) and image.ndim == 2:
        got, said = 'one value for each pixel', str(header.samples)
    else:
        check_missing(header, lambda value: int((image == value).sum()), image.size, path)
        return
    raise ValueError(f'image {path}: OpenCV decodes {got} where the header says {said}; write it as .npy')


def check_missing(header: ImageHeader, count: Callable[[float], int], size: int, path: str | os.PathLike) -> None:
    """Refuses an image with pixels that were not measured.

    Args:
        header: Of the image.
        count: Tells how many pixels have a value.
        size: Number of pixels.
        path: For the message.

    Raises:
        ValueError: If there are pixels with the value that the file calls "nodata".
    """
    if header.missing and (number := count(_number(header.missing))):
        raise ValueError(
            f'image {path}: {number} of {size} values are {header.missing}, which the file calls "nodata"; '
            f'replace them by the mean of their neighbours when exporting'
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float('nan')


def _cut_off(content: bytes) -> bool:
    """Whether a JPEG ends within its pixels; some versions of OpenCV decode what is there."""
    if content.rfind(_END_OF_JPEG) > content.rfind(_START_OF_SCAN):
        return False
    try:
        with Image.open(io.BytesIO(content), formats=('JPEG',)) as image:
            image.load()
    except OSError:
        return True
    return False


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns an image as stored by EXIF's number.

    Args:
        image: ``[H, W, ...]``.
        orientation: 1 to 8; 1 leaves it as it is.
    """
    exchange, rows, columns = _TURNS.get(orientation, (False, 1, 1))
    image = image.swapaxes(0, 1) if exchange else image
    return np.ascontiguousarray(image[::rows, ::columns])


def _read_npy(source: bytes | Path, header: ImageHeader, path: str | os.PathLike) -> np.ndarray:
    buffer = np.memmap(source, np.uint8, 'r') if isinstance(source, Path) else source
    array = header.layout.array(buffer)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    elif array.ndim == 3 and array.shape[2] != 3:
        array = array[header.position]
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise ValueError(
                f'image {path}: an array {array.shape} of colours, whose order (RGB or BGR) the file does not tell; '
                f'save a colour picture as PNG, and a stack of images as (N, H, W)'
            )
        array = array[..., 0]
    return np.array(array)


def _read_rjpeg(content: bytes, path: str | os.PathLike, settings: Mapping[str, float] | None = None) -> np.ndarray:
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
        thermogram = flyr.unpack(io.BytesIO(content))
        if settings:
            changed = {_RJPEG_SETTINGS[name]: value for name, value in settings.items()}
            if 'reflected' in settings:
                changed['reflected_apparent_temperature'] += 273.15  # kelvin
            thermogram = thermogram.adjust_metadata(**changed)
        return np.asarray(thermogram.celsius, np.float32)
    except _FLYR_ERRORS as error:
        raise ValueError(f'cannot read the thermal data of R-JPEG {path}: {error}') from error
