"""The header of an ``.npy`` file, read once, and the array behind it."""

import ast
import math
import os
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

MAGIC = b'\x93NUMPY'
_MAX_HEADER = 10_000
_CHANNELS = 4  # a last axis of up to this length holds the values of a pixel: no image is so narrow


@dataclass(frozen=True)
class NpyLayout:
    """Where and how the array of an ``.npy`` file lies.

    Attributes:
        dtype: Of the values, with their byte order.
        shape: Of the array.
        order: ``'C'``, or ``'F'`` for columns first.
        offset: First byte of the array in the file.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    order: str
    offset: int

    def as_images(self, name: object) -> tuple[int, int, int, int]:
        """Number of images, their height and width, and the values of a pixel.

        ``(H, W)`` is one image, ``(H, W, 1)`` and ``(H, W, 3)`` are, too, and ``(N, H, W)`` is a stack.

        Raises:
            ValueError: For other shapes.
        """
        shape = self.shape
        if len(shape) == 2:
            return 1, *shape, 1
        if len(shape) == 3 and shape[2] in (1, 3):
            return 1, *shape
        if len(shape) == 3 and not 0 < shape[2] <= _CHANNELS:
            return *shape, 1
        raise ValueError(
            f'image {name}: expected an array (H, W) or a stack (N, H, W), got {shape}'
            + (f', whose last axis looks like {shape[2]} values for each pixel' if len(shape) == 3 else '')
        )

    def array(self, buffer: bytes | np.memmap) -> np.ndarray:
        """The array in the content of the file."""
        return np.ndarray(self.shape, self.dtype, buffer, self.offset, order=self.order)


def npy_layout(file: BinaryIO, name: object) -> NpyLayout:
    """Layout of the array in an ``.npy`` file of numbers, checked against the bytes that are there.

    NumPy's own reader allocates what the header says, and takes it for an old version's, or runs into the parser's
    limits, where it is damaged.

    Args:
        file: At its beginning, seekable.
        name: For the messages.

    Raises:
        ValueError: If it is no whole ``.npy`` file of numbers.
    """
    reason = 'no header of a known version'
    head = file.read(12)
    if len(head) == 12 and head[:6] == MAGIC and head[6] in (1, 2, 3) and head[7] == 0:
        long = head[6] > 1
        length = struct.unpack_from('<I' if long else '<H', head, 8)[0]
        file.seek(12 if long else 10)
        reason = 'a header of unusual length'
        if length <= _MAX_HEADER:
            try:
                # (as NumPy decodes it)
                text = file.read(length).decode('utf-8' if head[6] == 3 else 'latin-1')
                header = ast.literal_eval(text.strip(' \n'))
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                header = None
            reason = _fault(header, file)
            if not reason:
                order = 'F' if header['fortran_order'] else 'C'
                return NpyLayout(np.dtype(header['descr']), header['shape'], order, (12 if long else 10) + length)
    raise ValueError(f'cannot read image {name}: not a whole .npy file of numbers ({reason})')


def _fault(header: object, file: BinaryIO) -> str:
    if not isinstance(header, dict) or header.keys() != {'descr', 'fortran_order', 'shape'}:
        return 'a damaged header'
    kind = re.fullmatch(r'[<>|=]?([?biufc])(\d\d?)', header['descr']) if isinstance(header['descr'], str) else None
    if kind is None or not isinstance(header['fortran_order'], bool):
        return f'values of type {header["descr"]!r}'[:80]
    try:
        size = np.dtype(header['descr']).itemsize
    except TypeError:
        return f'values of type {header["descr"]!r}'
    shape = header['shape']
    if not isinstance(shape, tuple) or not all(type(side) is int and 0 <= side < 1 << 40 for side in shape):
        return 'a damaged shape'
    here = file.tell()
    there = file.seek(0, os.SEEK_END) - here
    if math.prod(shape) * size > there:
        return f'cut off: an array of shape {shape} does not fit into {there} bytes'
    return ''
