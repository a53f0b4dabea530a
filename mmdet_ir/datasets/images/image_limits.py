"""How large an image may be, told from its header before anything of it is decoded: one limit for all readers.

Small files can hold huge images. The headers are read here, within the file's own bytes, since some libraries decode
or allocate first.
"""

import ast
import io
import math
import os
import re
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import cv2
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 64_000_000  # of one image; infrared detectors have 5 million at most
LIMIT_VARIABLE = 'MMDET_IR_MAX_PIXELS'  # the one place to raise it, also for worker processes
_BYTES_A_PIXEL = 8  # a double; more (colours of 32 bits) count as more pixels
_MAX_FIELDS = 4096  # of a TIFF directory; a usual one has 20
_MAX_NPY_HEADER = 10_000
# What OpenCV decodes as well, apart from PNG, BMP and TIFF. OpenEXR and Radiance files are unknown to Pillow.
_PILLOW_FORMATS = ('JPEG', 'WEBP', 'GIF', 'JPEG2000', 'PPM', 'AVIF', 'SUN')
TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 258, 277, 322, 323  # TIFF 6.0
_TIFF_TAGS = (_WIDTH, _HEIGHT, _BITS, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT)
_INTEGERS = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}


class ImageTooLargeError(ValueError):
    """An image file that says it has more pixels than allowed."""


def pixel_limit() -> int:
    """Pixels that an image may have: ``MAX_PIXELS``, or what the environment variable ``MMDET_IR_MAX_PIXELS`` says.

    Raises:
        ValueError: If the variable is no whole number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, '')
    if text and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f'{LIMIT_VARIABLE}: expected a number of pixels above 0, got {text!r}')
    return int(text) if text else MAX_PIXELS


def check_size(width: int, height: int, name: object, limit: int | None = None) -> None:
    """Refuses images, frames and masks above the limit.

    Raises:
        ImageTooLargeError: If width times height is above ``limit``, by default ``pixel_limit()``.
    """
    allowed = pixel_limit() if limit is None else limit
    if width * height > allowed:
        hint = (
            f' (a small file can be made to fill the memory; {LIMIT_VARIABLE}=... allows more)'
            if limit is None
            else ''
        )
        raise ImageTooLargeError(
            f'image {name}: expected at most {allowed} pixels, got {width}x{height}, which is not decoded{hint}'
        )


def check_image(
    content: bytes | str | os.PathLike, name: object, page: int | None = None, limit: int | None = None
) -> None:
    """Refuses an image file that says it is larger than the limit.

    Args:
        content: Of the file, or its path.
        name: For the message.
        page: The image of a stack that is to be decoded, from 0; ``None``: its first two, which is what reading a
            single image looks at.
        limit: Defaults to ``pixel_limit()``.

    Raises:
        ImageTooLargeError: If it is too large.
        ValueError: If its header cannot be read.
        OSError: If the file cannot be opened.
    """
    with io.BytesIO(content) if isinstance(content, bytes) else Path(content).open('rb') as file:
        for width, height in islice(image_sizes(file, name), page or 0, 2 if page is None else page + 1):
            check_size(width, height, name, limit)


def check_video(capture: cv2.VideoCapture, name: object) -> None:
    """Refuses a video that says its frames are larger than ``pixel_limit()``.

    Raises:
        ImageTooLargeError: If they are.
    """
    check_size(int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), name)


def image_sizes(file: BinaryIO, name: object) -> Iterator[tuple[int, int]]:
    """Width and height of each image in a file, from its headers only.

    Images of more than 8 bytes a pixel are told with more pixels than they have, since they take as much memory.

    Args:
        file: At its beginning, seekable.
        name: For the messages.

    Raises:
        ValueError: If there is no readable header, or a kind of image whose size cannot be told.
    """
    head = file.read(32)
    file.seek(0)
    try:
        if head.startswith(b'\x89PNG\r\n\x1a\n') and head[12:16] == b'IHDR' and len(head) >= 24:
            _check_chunks(file)
            yield struct.unpack_from('>II', head, 16)
        elif head.startswith(b'BM') and len(head) >= 26:
            form = '<HH' if head[14] == 12 else '<ii'
            yield tuple(abs(side) for side in struct.unpack_from(form, head, 18))
        elif head.startswith(TIFF_STARTS):
            yield from _tiff_sizes(file)
        elif head.startswith(b'\x93NUMPY'):
            yield from _npy_sizes(file, name)
        else:
            with Image.open(file, formats=_PILLOW_FORMATS) as image:
                yield image.size
    except Image.DecompressionBombError:
        raise ImageTooLargeError(f'image {name}: expected at most {pixel_limit()} pixels, got many more') from None
    except (UnidentifiedImageError, OSError, SyntaxError, KeyError, TypeError, struct.error, EOFError) as error:
        raise ValueError(f'cannot read image {name}: damaged, cut off, or not an image file') from error


def _check_chunks(file: BinaryIO) -> None:
    """Raises ``EOFError`` if a chunk of a PNG goes beyond the file: OpenCV allocates what a chunk says, up to 2 GB."""
    size, place = file.seek(0, os.SEEK_END), 8
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack('>I4s', file.read(8))
        place += 12 + length
        if place > size:
            raise EOFError
        if kind == b'IEND':
            return


def _go_to(file: BinaryIO, place: int) -> None:
    """Raises ``EOFError`` for a place that no file has, but that BigTIFF can name."""
    if place >> 63:
        raise EOFError
    file.seek(place)


def _tiff_sizes(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Of each page, or of its tiles where these are larger; unlike Pillow's, of any kind of pixels."""
    order, version = ('<' if file.read(2) == b'II' else '>'), file.read(2)
    big = b'\x2b' in version
    offset_form, count_form, entry_form = ('Q', 'Q', 'HHQ8s') if big else ('I', 'H', 'HHI4s')
    file.seek(8 if big else 4)
    seen = set()
    while offset := _unpack(file, order + offset_form):
        if offset in seen:
            raise SyntaxError('the directories go round in a circle')
        seen.add(offset)
        _go_to(file, offset)
        number = _unpack(file, order + count_form)
        if number > _MAX_FIELDS:
            raise SyntaxError(f'a directory of {number} fields')
        size = struct.calcsize(order + entry_form)
        fields = file.read(number * size)
        if len(fields) < number * size:
            raise EOFError
        following = file.tell()
        values = {}
        for tag, kind, count, value in struct.iter_unpack(order + entry_form, fields):
            if tag in _TIFF_TAGS and kind in _INTEGERS and count:
                form = order + _INTEGERS[kind]
                if count * struct.calcsize(form) <= len(value):
                    values[tag] = struct.unpack_from(form, value)[0]
                else:  # the bits of several channels stand elsewhere
                    _go_to(file, struct.unpack(order + offset_form, value)[0])
                    values[tag] = _unpack(file, form)
        width, height = values[_WIDTH], values[_HEIGHT]
        depth = values.get(_SAMPLES, 1) * math.ceil(values.get(_BITS, 1) / 8)
        tile = values.get(_TILE_WIDTH, 0) * values.get(_TILE_HEIGHT, 0)
        pixels = max(width * height, tile)
        if depth > _BYTES_A_PIXEL:
            pixels = pixels * depth // _BYTES_A_PIXEL
        yield (width, height) if pixels == width * height else (pixels, 1)
        file.seek(following)
    if not seen:
        raise EOFError


def _unpack(file: BinaryIO, form: str) -> int:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _npy_sizes(file: BinaryIO, name: object) -> Iterator[tuple[int, int]]:
    shape = npy_shape(file, name)
    if len(shape) not in (2, 3):
        raise ValueError(f'image {name}: expected an array (H, W) or a stack (N, H, W), got {shape}')
    if len(shape) == 2 or shape[2] == 1:
        yield shape[1], shape[0]
    else:
        yield from ((shape[2], shape[1]) for _ in range(shape[0]))


def npy_shape(file: BinaryIO, name: object) -> tuple[int, ...]:
    """Shape of the array in an ``.npy`` file of numbers, checked against the bytes that are there.

    NumPy's own reader allocates what the header says, and takes it for an old version's, or runs into the parser's
    limits, where it is damaged.

    Raises:
        ValueError: If it is no whole ``.npy`` file of numbers.
    """
    reason = 'no header of a known version'
    head = file.read(12)
    if len(head) == 12 and head[:6] == b'\x93NUMPY' and head[6] in (1, 2, 3) and head[7] == 0:
        long = head[6] > 1
        length = struct.unpack_from('<I' if long else '<H', head, 8)[0]
        file.seek(12 if long else 10)
        reason = 'a header of unusual length'
        if length <= _MAX_NPY_HEADER:
            try:
                header = ast.literal_eval(file.read(length).decode('latin-1').strip(' \n'))
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                header = None
            reason = _npy_fault(header, file)
            if not reason:
                return header['shape']
    raise ValueError(f'cannot read image {name}: not a whole .npy file of numbers ({reason})')


def _npy_fault(header: object, file: BinaryIO) -> str:
    if not isinstance(header, dict) or header.keys() != {'descr', 'fortran_order', 'shape'}:
        return 'a damaged header'
    kind = re.fullmatch(r'[<>|=]?[?biufc](\d\d?)', header['descr']) if isinstance(header['descr'], str) else None
    if kind is None or not isinstance(header['fortran_order'], bool):
        return f'values of type {header["descr"]!r}'[:80]
    shape = header['shape']
    if not isinstance(shape, tuple) or not all(type(side) is int and 0 <= side < 1 << 40 for side in shape):
        return 'a damaged shape'
    here = file.tell()
    there = file.seek(0, os.SEEK_END) - here
    if math.prod(shape) * int(kind[1]) > there:
        return f'cut off: an array of shape {shape} does not fit into {there} bytes'
    return ''
