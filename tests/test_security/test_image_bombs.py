"""Images that are small on disk and huge in memory are refused by every reader, before anything is decoded."""

import struct
import tracemalloc
import zlib
from pathlib import Path

from mmdet_ir.apis.demo.uploads import check_image_file
from mmdet_ir.datasets.converters.labels.labelme import convert_labelme
from mmdet_ir.datasets.converters.labels.mask_images import convert_mask_images
from mmdet_ir.datasets.images.image_limits import LIMIT_VARIABLE, ImageTooLargeError, check_image, check_video
from mmdet_ir.datasets.images.infrared_io import count_pages, read_infrared
from mmdet_ir.datasets.validation.files import read_picture

import cv2
import numpy as np
import pytest


def png(width: int, height: int, tail: bytes = b'') -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b'\0' * 99)) + tail


def bmp(width: int, height: int) -> bytes:
    return (
        b'BM' + struct.pack('<IHHI', 100, 0, 0, 54) + struct.pack('<IiiHHIIiiII', 40, width, -height, 1, 8, *[0] * 6)
    )


def jpeg(width: int, height: int) -> bytes:
    content = bytearray(cv2.imencode('.jpg', np.zeros((8, 8), np.uint8))[1].tobytes())
    struct.pack_into('>HH', content, content.find(b'\xff\xc0') + 5, height, width)
    return bytes(content)


def tiff(pages: list[dict], big: bool = False, order: str = '<') -> bytes:
    """Directories with 4-byte numbers only, written from the specification of TIFF 6.0 and BigTIFF."""
    head, count, entry, place = ('HHHQ', 'Q', 'HHQQ', 16) if big else ('HI', 'H', 'HHII', 8)
    out = (b'II' if order == '<' else b'MM') + struct.pack(order + head, *((43, 8, 0, 16) if big else (42, 8)))
    for number, tags in enumerate(pages):
        size = struct.calcsize(order + count) + len(tags) * struct.calcsize(order + entry)
        offset = 'Q' if big else 'I'
        place += size + struct.calcsize(offset)
        out += struct.pack(order + count, len(tags))
        for tag, value in tags.items():
            out += struct.pack(order + entry[:2], tag, 4) + struct.pack(order + entry[2], 1)
            out += struct.pack(order + 'I', value) + b'\0' * (4 if big else 0)
        out += struct.pack(order + offset, place if number + 1 < len(pages) else 0)
    return out


def npy(shape: str) -> bytes:
    header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + '\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() + b'\0' * 200


SMALL, HUGE = {256: 8, 257: 8}, {256: 70_000, 257: 70_000}
BOMBS = {
    'a.png': png(70_000, 70_000),
    'a.bmp': bmp(70_000, 70_000),
    'a.jpg': jpeg(65_000, 65_000),
    'a.tif': tiff([HUGE]),
    'b.tif': tiff([HUGE], big=True),
    'c.tif': tiff([HUGE], order='>'),
    'd.tif': tiff([SMALL, HUGE]),  # reading the first page looks at the second
    'tiles.tif': tiff([{**SMALL, 322: 1 << 16, 323: 1 << 15}]),
    'deep.tif': tiff([{256: 8000, 257: 8000, 258: 32, 277: 4}]),  # 64 megapixels of four floats
    'png.tif': png(70_000, 70_000),  # by content, not by name
    'tif.png': tiff([HUGE]),
}
DAMAGED = {
    'a.npy': npy('(100000, 100000)'),
    'b.npy': npy('(99999999999, 99999999999)'),
    'c.npy': npy('(((((((((('),
    'd.npy': npy('(-5, 40)'),
    'space.npy': npy('(4, 5)').replace(b'  \n', b'\xa0 \n'),  # white to Python, not to NumPy
    'version.npy': npy('(4, 5)').replace(b'NUMPY\x01\x00', b'NUMPY\x01\x80'),
    'chunk.png': png(8, 8, struct.pack('>I', 2**31 - 1) + b'IDATxx'),  # OpenCV would allocate 2 GB for it
    'loop.tif': tiff([SMALL])[:-4] + struct.pack('<I', 8),
    'fields.tif': b'II*\0' + struct.pack('<IH', 8, 65_535) + b'\0' * 99,
    'farther.tif': b'II+\0' + struct.pack('<HHQ', 8, 0, 2**64 - 1),
    'far.tif': b'II*\0' + struct.pack('<I', 2**32 - 1),
    'empty.tif': b'II*\0' + struct.pack('<I', 0),
    'text.png': b'<html>not found</html>',
}


@pytest.mark.parametrize('name', [*BOMBS, *DAMAGED])
def test_bombs_are_refused_without_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes({**BOMBS, **DAMAGED}[name])
    tracemalloc.start()  # sees Python's and numpy's memory
    expected, words = (ImageTooLargeError, 'pixels, got') if name in BOMBS else (ValueError, 'cannot read image')
    for read in (read_infrared, check_image_file):
        with pytest.raises(ValueError, match=words if read is read_infrared else '') as error:
            read(path)
        assert name in str(error.value)
    with pytest.raises(expected, match=name):
        read_infrared(path)
    assert read_picture(path).fault == ('image-too-large' if name in BOMBS else 'image-unreadable')
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_what_only_numpy_refuses_is_named(tmp_path: Path) -> None:
    header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (4, 5)} # \xff\n"  # no UTF-8, as version 3 has to be
    path = tmp_path / 'a.npy'
    path.write_bytes(b'\x93NUMPY\x03\x00' + struct.pack('<I', len(header)) + header + b'\0' * 40)
    with pytest.raises(ValueError, match=r'cannot read image .*a\.npy'):
        read_infrared(path)


def test_a_page_of_a_stack_is_checked_by_itself(tmp_path: Path) -> None:
    path = tmp_path / 'stack.tif'
    path.write_bytes(tiff([SMALL, SMALL, SMALL, HUGE]))
    check_image(path, path, page=2)
    with pytest.raises(ImageTooLargeError, match='stack.tif: expected at most 64000000 pixels, got 70000x70000'):
        read_infrared(path, page=3)


def test_a_picture_under_the_name_of_a_stack_has_one_page(tmp_path: Path) -> None:
    """OpenCV's reader of stacks does not come to an end on some damaged PNG files."""
    path = tmp_path / 'a.tif'
    path.write_bytes(cv2.imencode('.png', np.full((8, 8), 7, np.uint8))[1].tobytes())
    assert count_pages(path) == 1
    assert read_infrared(path).tolist() == [[7] * 8] * 8
    with pytest.raises(ValueError, match='a.tif: expected a TIFF or .npy stack for page 1'):
        read_infrared(path, page=1)


@pytest.mark.parametrize(
    'image', [np.full((9, 7), 5, np.uint8), np.full((9, 7), 900, np.uint16), np.full((9, 7, 3), 5, np.uint8)]
)
@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.jpg', '.tif', '.webp', '.pgm', '.ppm', '.npy'])
def test_sound_images_still_load(tmp_path: Path, suffix: str, image: np.ndarray) -> None:
    if (suffix in ('.bmp', '.jpg', '.webp') and image.dtype != np.uint8) or (
        suffix in ('.pgm', '.npy') and image.ndim == 3
    ):
        return
    if suffix == '.ppm' and image.ndim == 2:
        return
    path = tmp_path / f'a{suffix}'
    np.save(path, image) if suffix == '.npy' else cv2.imwrite(str(path), image)
    assert read_infrared(path).shape[:2] == (9, 7)


def test_the_limit_is_raised_and_lowered_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.zeros((10, 10), np.uint8))
    monkeypatch.setenv(LIMIT_VARIABLE, '99')
    for read in (read_infrared, check_image_file):
        with pytest.raises(ImageTooLargeError, match='a.png: expected at most 99 pixels, got 10x10'):
            read(path)
    monkeypatch.setenv(LIMIT_VARIABLE, '100')
    assert read_infrared(path).shape == (10, 10)
    monkeypatch.setenv(LIMIT_VARIABLE, 'many')
    with pytest.raises(ValueError, match='MMDET_IR_MAX_PIXELS: expected a number'):
        read_infrared(path)


def test_videos_are_checked_before_their_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    capture = cv2.VideoCapture(str(path))
    check_video(capture, path)
    monkeypatch.setenv(LIMIT_VARIABLE, '3071')
    with pytest.raises(ImageTooLargeError, match='a.avi: expected at most 3071 pixels, got 64x48'):
        check_video(capture, path)
    capture.release()


def test_converters_refuse_bombs_as_masks(tmp_path: Path) -> None:
    for folder in ('images', 'masks'):
        (tmp_path / 'set' / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'set/images/a.png'), np.zeros((8, 8), np.uint8))
    (tmp_path / 'set/masks/a.png').write_bytes(png(70_000, 70_000))
    with pytest.raises(ValueError, match='masks/a.png: expected at most 64000000 pixels'):
        convert_mask_images(tmp_path / 'set', tmp_path / 'out', 'semantic', {1: 'car'})
    assert not (tmp_path / 'out').exists()


def test_converters_refuse_bombs_as_images(tmp_path: Path) -> None:
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set/a.png').write_bytes(png(70_000, 70_000))
    (tmp_path / 'set/a.json').write_text('{"imagePath": "a.png", "shapes": []}')
    with pytest.raises(ValueError, match='a.png: expected at most 64000000 pixels'):
        convert_labelme(tmp_path / 'set', tmp_path / 'out')
