"""Grey pages of TIFF files that are too large to be read at once: parts of them, decoded when they are asked for.

Needs the package tifffile. Without imagecodecs beside it, tifffile decodes deflate and no LZW.
"""

import importlib.util
import math
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .headers import ImageHeader, kind_of
from .image_limits import LIMIT_VARIABLE, pixel_limit
from .infrared_io import check_missing, find_image
from .readers import reader_of
from .values import check_bytes, count_levels, sampled_rows

if TYPE_CHECKING:
    import tifffile

_CACHE = 2**28  # bytes of decoded strips or tiles that are kept
_BAND = 2**24  # pixels that are looked at together, unless a strip has more
_NO_LIMIT = 2**63
_NONE, _LZW, _DEFLATE = 1, 5, (8, 32946)  # compressions
_BLACK_IS_ZERO = 1


class TiffParts:
    """A large grey page of a TIFF file; of an array it has what tiles are cut with.

    ``parts[y1:y2, x1:x2]`` decodes the strips or tiles of the file that meet this window. Those that were decoded last
    are kept, up to 256 MB, so that a row of windows decodes each about once.

    Args:
        path: Of a local file.
        header: Of the page.

    Raises:
        ImportError: If tifffile is not installed.
        ValueError: If the page has other than upright grey values of 8 or 16 bits, a strip or tile of more pixels than
            may be decoded at once, or a compression that cannot be decoded, or the file is damaged.

    Example:
        >>> import numpy as np, tifffile
        >>> from mmdet_ir.datasets.images.tiff_parts import open_parts
        >>> counts = np.arange(7000, 7000 + 40 * 30, dtype=np.uint16).reshape(40, 30)
        >>> tifffile.imwrite('large.tif', counts, tile=(16, 16), compression='zlib')
        >>> parts = open_parts('large.tif', limit=1000)
        >>> parts.shape, parts.dtype, parts[20:22, 10:13].tolist()
        ((40, 30), dtype('uint16'), [[7610, 7611, 7612], [7640, 7641, 7642]])
    """

    ndim = 2

    def __init__(self, path: str | os.PathLike, header: ImageHeader) -> None:
        self.path = path
        self.header = header
        self.shape = header.height, header.width
        self.size = header.height * header.width
        self.dtype = np.dtype(np.uint8 if header.bits == 8 else np.uint16)
        self._layout = _lay_out(Path(path), header)
        kept = max(1, _CACHE // (math.prod(self._layout.segment) * self.dtype.itemsize))
        self._segment = lru_cache(kept)(partial(_decode, self._layout))

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """Values of a window, ``[h, w]``; slices as of an array, without steps."""
        (y1, y2, _), (x1, x2, _) = (part.indices(side) for part, side in zip(window, self.shape, strict=True))
        found = np.empty((max(y2 - y1, 0), max(x2 - x1, 0)), self.dtype)
        if not found.size:
            return found
        if self._layout.start is not None:
            whole = np.memmap(self.path, self._layout.stored, 'r', self._layout.start, self.shape)
            found[:] = whole[y1:y2, x1:x2]
            return found
        height, width = self._layout.segment
        for row in range(y1 // height, -(-y2 // height)):
            for column in range(x1 // width, -(-x2 // width)):
                top, left = row * height, column * width
                values = self._segment(row * -(-self.shape[1] // width) + column)
                values = values[max(y1 - top, 0) : y2 - top, max(x1 - left, 0) : x2 - left]
                y, x = max(top - y1, 0), max(left - x1, 0)
                found[y : y + values.shape[0], x : x + values.shape[1]] = values
        return found

    def bands(self) -> Iterator[tuple[int, np.ndarray]]:
        """The whole page from top to bottom: first row, and ``[h, W]`` values of as many rows as are read at once."""
        height, width = self._layout.segment[0], self.shape[1]
        rows = height * max(1, _BAND // (height * width))
        for y in range(0, self.shape[0], rows):
            yield y, self[y : y + rows, :]

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of pixels of each level, from one pass over the page: int64 ``[256]`` or ``[65536]``.

        Raises:
            SwappedBytesError: If the bytes of 16-bit values have changed places.
            ValueError: For pixels that the file calls "nodata", as ``read_infrared`` does, and for damaged files.
        """
        step, sampled = sampled_rows(self.shape[0]), []
        counts = np.zeros(np.iinfo(self.dtype).max + 1, np.int64)
        for y, band in self.bands():
            counts += count_levels(band)
            sampled.append(band[-y % step :: step].copy())
        known = range(len(counts))
        check_missing(
            self.header, lambda value: int(counts[int(value)]) if value in known else 0, self.size, self.path
        )
        if self.dtype == np.uint16:
            check_bytes(np.concatenate(sampled), self.path)
        return counts


@dataclass(frozen=True)
class _Layout:
    """Where the pixels of a page stand in its file.

    Attributes:
        path: The file.
        segment: Height and width of a strip or tile; one row of the page with ``start``.
        stored: Type of the values, with the order of their bytes.
        start: Byte where the pixels begin, if they stand in one piece and uncompressed; else ``None``.
        places: First byte and number of bytes of each strip or tile; empty with ``start``.
        deflated: Whether they are compressed with deflate.
        decode: tifffile's, from the bytes and the number of a strip or tile.
    """

    path: Path
    segment: tuple[int, int]
    stored: np.dtype
    start: int | None
    places: tuple[tuple[int, int], ...]
    deflated: bool
    decode: Callable


def open_parts(path: str | os.PathLike, page: int | None = None, limit: int | None = None) -> TiffParts | None:
    """Opens a page of a TIFF file that is too large to be read at once.

    Args:
        path: Of a file.
        page: Which image of a stack, from 0; ``None``: the only one.
        limit: Pixels that are read at once; defaults to ``pixel_limit()``.

    Returns:
        The page; ``None`` for one within the limit, for other kinds of files, and for a file that is not local.

    Raises:
        ImportError: If tifffile is not installed.
        ValueError: If the page is too large and cannot be read by parts, see ``TiffParts``.
    """
    path = Path(path)
    if not path.is_file() or reader_of(path) is not None:
        return None
    with path.open('rb') as file:
        if kind_of(file.read(32)) != 'TIFF':
            return None
    header = find_image(path, path, page, _NO_LIMIT)
    allowed = pixel_limit() if limit is None else limit
    return TiffParts(path, header) if header.width * header.height > allowed else None


def _lay_out(path: Path, header: ImageHeader) -> _Layout:
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(
            f'image {path}: reading a TIFF by parts needs the package tifffile: pip install tifffile'
        ) from error
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[header.position]
            _check_grey(page, header)
            stored, places = page.dtype.newbyteorder(file.byteorder), (*page.dataoffsets, *page.databytecounts)
            number = len(page.dataoffsets)
            if page.is_final:
                if path.stat().st_size < places[0] + page.nbytes:
                    raise ValueError('the file ends within the pixels')
                return _Layout(path, (1, header.width), stored, places[0], (), False, page.decode)
            _check_segments(page, number)
            places = tuple(zip(places[:number], places[number:], strict=True))
            return _Layout(path, page.chunks, stored, None, places, page.compression in _DEFLATE, page.decode)
    except Exception as error:  # (what tifffile raises for a damaged file has no class in common)
        raise ValueError(f'image {path}: cannot be read by parts: {str(error) or type(error).__name__}') from error


def _check_grey(page: 'tifffile.TiffPage', header: ImageHeader) -> None:
    upright = header.orientation == 1 and page.photometric == _BLACK_IS_ZERO
    known = page.shape == (header.height, header.width) and page.dtype in (np.uint8, np.uint16)
    if not (upright and known and header.samples == 1 and page.bitspersample in (8, 16)):
        raise ValueError(
            f'expected upright grey values of 8 or 16 bits (MINISBLACK), got {page.bitspersample} bits '
            f'({page.dtype}), {header.samples} a pixel, {page.photometric.name}, orientation {header.orientation}; '
            f'export it in this form'
        )


def _check_segments(page: 'tifffile.TiffPage', number: int) -> None:
    """Refuses strips and tiles that would fill the memory or that nobody here decodes."""
    kind = 'tile' if page.is_tiled else 'strip'
    if math.prod(page.chunks) > pixel_limit():
        raise ValueError(
            f'each {kind} has {math.prod(page.chunks)} pixels, of which at most {pixel_limit()} are decoded at once; '
            f'write it with tiles, such as 512x512, or strips of fewer rows ({LIMIT_VARIABLE}=... allows more)'
        )
    if number != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError(f'expected {math.prod(page.chunked)} {kind}s that hold pixels, as its size asks for')
    if page.compression not in (_NONE, _LZW, *_DEFLATE):
        raise ValueError(
            f'expected no compression, deflate or LZW, got {page.compression.name}; write it with deflate'
        )
    if page.compression == _LZW and importlib.util.find_spec('imagecodecs') is None:
        raise ValueError('its compression LZW needs the package imagecodecs (pip install imagecodecs), or deflate')


def _decode(layout: _Layout, number: int) -> np.ndarray:
    """A strip or tile, ``[h, w]``."""
    start, length = layout.places[number]
    size = math.prod(layout.segment) * layout.stored.itemsize
    try:
        if length > 2 * size + 1024:  # (no encoder makes pixels longer than that)
            raise ValueError(f'{length} bytes for a strip or tile of {size}')
        with layout.path.open('rb') as file:
            file.seek(start)
            content = file.read(length)
        if layout.deflated and len(zlib.decompressobj().decompress(content, size + 1)) > size:
            raise ValueError(f'a strip or tile of {size} bytes holds more')  # (tifffile would take all of it)
        return layout.decode(content, number)[0].reshape(-1, layout.segment[1])
    except Exception as error:  # (as above)
        raise ValueError(
            f'cannot read image {layout.path}: strip or tile {number} is damaged: {str(error) or type(error).__name__}'
        ) from error
