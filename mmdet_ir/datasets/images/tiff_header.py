"""The directories of a TIFF file (TIFF 6.0, BigTIFF): sizes, and what OpenCV's decoder would lose or change."""

import math
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_BYTES_A_PIXEL = 8  # a double; more (colours of 32 bits) count as more pixels
_MAX_FIELDS = 4096  # of a directory; a usual one has 20
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT = 274, 277, 322, 323, 338, 339
_DESCRIPTION, _NODATA = 270, 42113  # text; the second is GDAL's
_TAGS = frozenset(
    (_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES)
    + (_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT)
)
_INTEGERS = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}
_LONGEST_NODATA, _LONGEST_DESCRIPTION = 64, 256  # bytes that are looked at
_REDUCED, _MASK = 1, 4  # bits of the subfile's type
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_FORMS = {1: 'u', 2: 'i', 3: 'f', 4: 'u'}
_COMPRESSIONS = {
    1: 'none',
    2: 'CCITT',
    3: 'CCITT',
    4: 'CCITT',
    5: 'LZW',
    6: 'old JPEG',
    7: 'JPEG',
    8: 'deflate',
    32773: 'PackBits',
    32946: 'deflate',
    33003: 'JPEG 2000',
    33005: 'JPEG 2000',
    34712: 'JPEG 2000',
    34887: 'LERC',
    34925: 'LZMA',
    50000: 'Zstandard',
    50001: 'WebP',
    50002: 'JPEG XL',
    52546: 'JPEG XL',
}
PACKED = (10, 12, 14)  # bits that OpenCV unpacks into the upper part of 16
_UNSIGNED_BITS, _SIGNED_BITS, _FLOAT_BITS = (1, 8, *PACKED, 16, 32, 64), (8, 16, 32, 64), (32, 64)


@dataclass(frozen=True)
class TiffDirectory:
    """One image of a TIFF file; the fields are those of ``headers.ImageHeader``, and ``compression`` by name."""

    width: int
    height: int
    bits: int
    samples: int
    form: str
    pixels: int
    orientation: int
    alpha: bool
    position: int
    missing: str
    compression: str
    fault: str


def tiff_directories(file: BinaryIO, name: object) -> Iterator[TiffDirectory]:
    """Images of a TIFF file, of any kind of pixels; reduced copies (overviews) and masks are left out.

    Where all directories are marked as reduced copies, they are the images.

    Args:
        file: At its beginning, seekable.
        name: For the messages.

    Raises:
        ValueError: At the end of the directories, if it is a stack of ImageJ that has no directory for each image.
        SyntaxError: If the directories go round in a circle, or one is too long.
        EOFError: If the file ends within a directory, or there is none.
        KeyError: If a directory has no size.
        struct.error: If the file ends within a number.
    """
    reduced, full, images, bytes_of_one = [], False, 0, 0
    for position, (tags, texts) in enumerate(_directories(file)):
        found = _describe(tags, texts.get(_NODATA, '').strip(), position)
        if not position:
            images = _images_of_imagej(texts.get(_DESCRIPTION, ''))
            bytes_of_one = found.width * found.height * found.samples * found.bits // 8
        if tags.get(_SUBFILE, 0) & (_REDUCED | _MASK):
            reduced.append(found)
        else:
            full = True
            yield found
    # (a single image that was taken out of a stack may still have the description of the stack)
    if position + 1 < images and images * bytes_of_one <= file.seek(0, os.SEEK_END):
        raise ValueError(
            f'cannot read image {name}: a stack of ImageJ as it writes them above 4 GB: {images} images, of which the '
            f'file lists {position + 1}, so that the others would be lost; save it as OME-TIFF, or in parts of less'
        )
    if not full:
        yield from reduced


def _images_of_imagej(description: str) -> int:
    """How many images a stack of ImageJ has by its description; 0 for other files."""
    found = re.search(r'^images=([0-9]{1,18})\s*$', description, re.MULTILINE)
    return int(found[1]) if found and description.startswith('ImageJ=') else 0


def _directories(file: BinaryIO) -> Iterator[tuple[dict[int, int], dict[int, str]]]:
    """First values of the tags that count here, and the beginnings of texts, for each directory."""
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
        values, texts = {}, {}
        for tag, kind, count, value in struct.iter_unpack(order + entry_form, fields):
            if tag in _TAGS and kind in _INTEGERS and count:
                form = order + _INTEGERS[kind]
                if count * struct.calcsize(form) <= len(value):
                    values[tag] = struct.unpack_from(form, value)[0]
                else:  # the bits of several channels stand elsewhere
                    _go_to(file, struct.unpack(order + offset_form, value)[0])
                    values[tag] = _unpack(file, form)
            elif kind == 2 and (tag == _DESCRIPTION or (tag == _NODATA and count <= _LONGEST_NODATA)):
                text = value[:count]
                if count > len(value):
                    _go_to(file, struct.unpack(order + offset_form, value)[0])
                    text = file.read(min(count, _LONGEST_DESCRIPTION))
                texts[tag] = text.split(b'\0')[0].decode('latin-1')
        yield values, texts
        file.seek(following)
    if not seen:
        raise EOFError


def _describe(tags: dict[int, int], nodata: str, position: int) -> TiffDirectory:
    width, height = tags[_WIDTH], tags[_HEIGHT]
    bits, samples, form = tags.get(_BITS, 1), tags.get(_SAMPLES, 1), _FORMS.get(tags.get(_FORMAT, 1), '?')
    depth = samples * math.ceil(bits / 8)
    pixels = max(width * height, tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_HEIGHT, 0))
    if depth > _BYTES_A_PIXEL:
        pixels = pixels * depth // _BYTES_A_PIXEL
    photometric = tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO)
    orientation = tags.get(_ORIENTATION, 1)
    code = tags.get(_COMPRESSION, 1)
    return TiffDirectory(
        width,
        height,
        bits,
        samples,
        form,
        pixels,
        orientation if 1 <= orientation <= 8 else 1,
        alpha=samples in (2, 4),
        position=position,
        missing=nodata,
        compression=_COMPRESSIONS.get(code, f'number {code}'),
        fault=_fault(bits, samples, form, photometric),
    )


def _fault(bits: int, samples: int, form: str, photometric: int) -> str:
    """What OpenCV would lose, change or not decode."""
    known = {'u': _UNSIGNED_BITS, 'i': _SIGNED_BITS, 'f': _FLOAT_BITS}.get(form)
    if known is None:
        return 'values that are neither integers nor floating-point numbers'
    if bits not in known:
        kind = {'u': 'unsigned', 'i': 'signed', 'f': 'floating-point'}[form]
        return f'{kind} values of {bits} bits, which OpenCV does not decode'
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR):
        return f'pixels of the photometric kind {photometric}, which are neither grey levels nor RGB'
    grey = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    if samples not in ((1,) if grey or photometric == _PALETTE else (3, 4)):
        return f'{samples} values for each pixel, where a grey image has 1 and a colour image 3'
    if photometric == _WHITE_IS_ZERO and bits > 8:
        return (
            f'values of {bits} bits stored as MINISWHITE, so 0 stands for white: the file does not tell whether the '
            f'counts themselves are inverted'
        )
    if photometric == _PALETTE and bits > 8:
        return f'a palette of {bits} bits, which OpenCV would reduce to 8'
    return ''


def _go_to(file: BinaryIO, place: int) -> None:
    """Raises ``EOFError`` for a place that no file has, but that BigTIFF can name."""
    if place >> 63:
        raise EOFError
    file.seek(place)


def _unpack(file: BinaryIO, form: str) -> int:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]
