"""Image files written byte by byte from the specifications of TIFF 6.0, PNG and GDAL's tag."""

import struct
import zlib

import numpy as np

SHORT, LONG = 3, 4


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of values of any number of bits, each row filled up to whole bytes, most significant bit first."""
    rows = []
    for row in values.reshape(len(values), -1):
        text = ''.join(format(int(value), f'0{bits}b') for value in row)
        text += '0' * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, 'big'))
    return b''.join(rows)


def tiff_tags(values: np.ndarray, bits: int, **more: int) -> dict[int, tuple[int, list[int]]]:
    """Tags of an uncompressed image ``[H, W]`` or ``[H, W, C]``; ``more`` by name."""
    height, width = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1
    numbers = {'subfile': 254, 'compression': 259, 'photometric': 262, 'orientation': 274, 'extra': 338, 'format': 339}
    tags = {256: (SHORT, [width]), 257: (SHORT, [height]), 258: (SHORT, [bits] * samples), 259: (SHORT, [1])}
    tags |= {262: (SHORT, [1]), 277: (SHORT, [samples]), 278: (SHORT, [height])}
    for name, value in more.items():
        tags[numbers[name]] = (SHORT, [value] * (samples if name == 'format' else 1))
    return tags


def tiff(pages: list[tuple[dict, bytes]]) -> bytes:
    """A little-endian TIFF of pages with tags and pixels; tags of text are bytes."""
    out, link = bytearray(b'II*\0\0\0\0\0'), 4

    def put(data: bytes) -> int:
        place = len(out)
        out.extend(data + b'\0' * (len(data) % 2))
        return place

    for tags, pixels in pages:
        tags = {273: (LONG, [put(pixels)]), 279: (LONG, [len(pixels)]), **tags}
        entries = []
        for tag, value in sorted(tags.items()):
            if isinstance(value, bytes):
                kind, count, data = 2, len(value), value
            else:
                kind, count = value[0], len(value[1])
                data = struct.pack(f'<{count}{"H" if kind == SHORT else "I"}', *value[1])
            entries.append(
                (tag, kind, count, data.ljust(4, b'\0') if len(data) <= 4 else struct.pack('<I', put(data)))
            )
        struct.pack_into('<I', out, link, len(out))
        out += struct.pack('<H', len(entries)) + b''.join(struct.pack('<HHI', *e[:3]) + e[3] for e in entries)
        link = len(out)
        out += b'\0' * 4
    return bytes(out)


def png(values: np.ndarray, bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of integers ``[H, W]`` or ``[H, W, C]``, with further chunks before the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b''.join(b'\0' + packed(row[None], bits) for row in values)
    parts = [(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0)), *chunks]
    parts += [(b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


def exif(orientation: int) -> bytes:
    """A block of EXIF data with nothing but an orientation."""
    return b'II*\0' + struct.pack('<IHHHIHHI', 8, 1, 274, SHORT, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    segment = b'Exif\0\0' + exif(orientation)
    return jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(segment) + 2) + segment + jpeg[2:]
