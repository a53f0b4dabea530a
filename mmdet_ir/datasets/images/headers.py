"""What an image file says about itself, told from its headers before anything of it is decoded.

Small files can hold huge images, and a decoder may hand on less than a file holds. The headers are read here, within
the file's own bytes, since some libraries decode or allocate first. The content decides the kind of a file, not its
name.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from .npy_header import MAGIC as NPY_START
from .npy_header import NpyLayout, npy_layout
from .tiff_header import TIFF_STARTS, tiff_directories

# What OpenCV decodes as well, apart from PNG, BMP and TIFF. OpenEXR and Radiance files are unknown to Pillow.
_PILLOW_FORMATS = ('JPEG', 'WEBP', 'GIF', 'JPEG2000', 'PPM', 'AVIF', 'SUN')
_PNG_START, _JPEG_START = b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff'
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ORIENTATION = 0x0112  # EXIF's tag, and TIFF's
_LONGEST_EXIF = 1 << 16


@dataclass(frozen=True)
class ImageHeader:
    """One image of a file.

    Attributes:
        kind: ``'PNG'``, ``'BMP'``, ``'TIFF'``, ``'NPY'``, ``'JPEG'`` or another name of Pillow's.
        width: Of the image as stored, before its orientation turns it.
        height: As ``width``.
        bits: Of one sample; 0 if the header does not tell.
        samples: Values of a pixel; 0 if the header does not tell.
        form: ``'u'`` for unsigned integers, ``'i'`` for signed ones, ``'f'`` for floating-point numbers.
        pixels: What counts for the limit of size; more than width times height for pixels that take more memory.
        orientation: EXIF's number, 1 to 8; 1 is upright.
        alpha: Whether there may be transparency.
        position: Of the image among all that the decoder counts, from 0.
        missing: Text of the value that stands for no measurement (GDAL's "nodata"); empty without such a value.
        fault: Why the image cannot be read without a loss; empty if it can.
        compression: Of a TIFF's pixels, by name.
        layout: Of the array in an ``.npy`` file.
    """

    kind: str
    width: int
    height: int
    bits: int = 0
    samples: int = 0
    form: str = 'u'
    pixels: int = 0
    orientation: int = 1
    alpha: bool = False
    position: int = 0
    missing: str = ''
    fault: str = ''
    compression: str = ''
    layout: NpyLayout | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width after the orientation has turned the image."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)


def kind_of(head: bytes) -> str:
    """Kind of an image file by its first 32 bytes; empty for kinds that have no fixed beginning here."""
    if head.startswith(_PNG_START):
        return 'PNG'
    if head.startswith(TIFF_STARTS):
        return 'TIFF'
    if head.startswith(NPY_START):
        return 'NPY'
    if head.startswith(_JPEG_START):
        return 'JPEG'
    return 'BMP' if head.startswith(b'BM') else ''


def read_headers(file: BinaryIO, name: object) -> Iterator[ImageHeader]:
    """Headers of the images in a file, one after the other; reduced copies and masks of a TIFF are left out.

    Args:
        file: At its beginning, seekable.
        name: For the messages.

    Raises:
        ValueError: If there is no readable header, or a kind of image whose size cannot be told.
        PIL.Image.DecompressionBombError: If Pillow finds it too large.
    """
    head = file.read(32)
    file.seek(0)
    kind = kind_of(head)
    try:
        if kind == 'PNG' and head[12:16] == b'IHDR' and len(head) >= 26:
            yield _png(file, head)
        elif kind == 'BMP' and len(head) >= 26:
            form = '<HH' if head[14] == 12 else '<ii'
            width, height = (abs(side) for side in struct.unpack_from(form, head, 18))
            yield ImageHeader(kind, width, height, pixels=width * height)
        elif kind == 'TIFF':
            yield from _tiff(file, name)
        elif kind == 'NPY':
            yield from _npy(npy_layout(file, name), name)
        else:
            yield _pillow(file, kind)
    except (UnidentifiedImageError, OSError, SyntaxError, KeyError, TypeError, struct.error, EOFError) as error:
        reason = jpeg_fault(file) if kind == 'JPEG' else ''
        reason = reason or 'damaged, cut off, or not an image file'
        raise ValueError(f'cannot read image {name}: {reason}') from error


def _png(file: BinaryIO, head: bytes) -> ImageHeader:
    """Raises ``EOFError`` if a chunk of a PNG goes beyond the file: OpenCV allocates what a chunk says, up to 2 GB."""
    width, height, bits, colour = struct.unpack_from('>IIBB', head, 16)
    alpha, orientation, fault = colour in (4, 6), 1, ''
    size, place = file.seek(0, os.SEEK_END), 8
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack('>I4s', file.read(8))
        place += 12 + length
        if place > size:
            raise EOFError
        if kind == b'IEND':
            break
        if kind == b'eXIf':
            orientation = _orientation(file.read(min(length, _LONGEST_EXIF)))
        elif kind == b'acTL' and length >= 4 and (frames := struct.unpack('>I', file.read(4))[0]) > 1:
            fault = f'an animation of {frames} images, of which only the first would be read'
        alpha |= kind == b'tRNS'
    samples = _PNG_SAMPLES.get(colour, 0)
    return ImageHeader(
        'PNG', width, height, bits, samples, 'u', width * height, orientation=orientation, alpha=alpha, fault=fault
    )


def _orientation(exif: bytes) -> int:
    """EXIF's number from a block of EXIF data; 1 where the block is damaged, or holds none."""
    found = Image.Exif()
    try:
        found.load(exif)
        number = found.get(_ORIENTATION, 1)
    except (ValueError, SyntaxError, LookupError, TypeError, ArithmeticError, OSError, EOFError, struct.error):
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def _tiff(file: BinaryIO, name: object) -> Iterator[ImageHeader]:
    for page in tiff_directories(file, name):
        yield ImageHeader('TIFF', **vars(page))


def _npy(layout: NpyLayout, name: object) -> Iterator[ImageHeader]:
    pages, height, width, samples = layout.as_images(name)
    form = 'f' if layout.dtype.kind == 'f' else 'i' if layout.dtype.kind == 'i' else 'u'
    for position in range(pages):
        yield ImageHeader(
            'NPY',
            width,
            height,
            8 * layout.dtype.itemsize,
            samples,
            form,
            width * height * samples,
            position=position,
            layout=layout,
        )


def _pillow(file: BinaryIO, kind: str) -> ImageHeader:
    with Image.open(file, formats=_PILLOW_FORMATS) as image:
        width, height = image.size
        exif = image.info.get('exif')
        orientation = _orientation(exif) if isinstance(exif, bytes) else 1
        frames = getattr(image, 'n_frames', 1) if kind != 'JPEG' else 1  # (further images of a JPEG are previews)
        samples = len(image.getbands()) if kind == 'JPEG' else 0
        fault = f'an animation of {frames} images, of which only the first would be read' if frames > 1 else ''
        if samples == 4:
            fault = 'a JPEG of four colours (CMYK), which are no grey levels'
        alpha = 'A' in image.getbands() or 'transparency' in image.info
        return ImageHeader(
            image.format if kind != 'JPEG' else 'JPEG',
            width,
            height,
            8 if kind == 'JPEG' else 0,
            samples,
            'u',
            width * height,
            orientation,
            alpha and kind != 'JPEG',
            fault=fault,
        )


def jpeg_fault(file: BinaryIO) -> str:
    """Why a sound JPEG is not decoded, from its frame header; empty for those of 8 bits with a loss."""
    file.seek(2)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        marker, length = head[1], struct.unpack_from('>H', head, 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits = file.read(1)
            kind = 'a lossless JPEG' if marker in (0xC3, 0xC7, 0xCB, 0xCF) else 'a JPEG'
            if kind == 'a JPEG' and bits in (b'', b'\x08'):
                return ''
            return f'{kind} of {ord(bits or b"?")} bits a sample, which OpenCV does not decode; convert it to PNG'
        file.seek(max(length, 2) - 2, os.SEEK_CUR)
    return ''
