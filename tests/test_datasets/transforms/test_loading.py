"""Files written by other libraries come back with the values that they hold, and nothing else is let through."""

import importlib.util
import io
import json
import struct
import sys
import zlib
from pathlib import Path

from mmdet_ir.datasets import LoadIRImageFromFile
from mmdet_ir.datasets.coco_files import class_categories
from mmdet_ir.datasets.images.infrared_io import read_infrared
from mmdet_ir.datasets.images.values import as_plain_type, eight_bit_content, to_single_channel

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image

SHAPE = (24, 32)


@pytest.fixture
def counts() -> np.ndarray:
    """14-bit counts without structure, so that no shift or swap of bytes goes unseen."""
    return np.random.default_rng(0).integers(0, 2**14, SHAPE, dtype=np.uint16)


def save(path: Path, array: np.ndarray) -> Path:
    if path.suffix == '.npy':
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)  # Pillow writes what OpenCV reads
    return path


def load(path: Path, **settings) -> np.ndarray:
    return LoadIRImageFromFile(**settings).transform({'img_path': str(path)})['img']


@pytest.mark.parametrize('suffix', ['.png', '.tiff', '.tif', '.npy'])
def test_counts_come_back_unchanged(tmp_path: Path, counts: np.ndarray, suffix: str) -> None:
    path = save(tmp_path / f'counts{suffix}', counts)
    image = load(path, channels=1, raw=True)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, counts)
    repeated = load(path, channels=3, raw=True)
    assert repeated.shape == (*SHAPE, 3)
    np.testing.assert_array_equal(repeated, np.stack([counts] * 3, axis=-1))


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tiff', '.npy'])
def test_eight_bit_files_stay_eight_bit(tmp_path: Path, counts: np.ndarray, suffix: str) -> None:
    grey = (counts >> 6).astype(np.uint8)
    path = save(tmp_path / f'grey{suffix}', grey)
    for settings in ({}, {'raw': True}):
        image = load(path, channels=1, **settings)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, grey)
    as_float = load(path, to_float32=True)
    assert as_float.dtype == np.float32 and as_float[3, 4].tolist() == [grey[3, 4]] * 3


@pytest.mark.parametrize('mode', ['L', 'RGB'])
@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
def test_pictures_load_as_with_mmcv(tmp_path: Path, suffix: str, mode: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    path = tmp_path / f'picture{suffix}'
    Image.fromarray(values).convert(mode).save(path)
    expected = LoadImageFromFile().transform({'img_path': str(path)})
    got = LoadIRImageFromFile().transform({'img_path': str(path)})
    np.testing.assert_array_equal(got['img'], expected['img'])
    assert got['img_shape'] == got['ori_shape'] == expected['ori_shape'] == SHAPE


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        (np.array([[-5.5, 20.25], [1e5, 0]], np.float32), np.float32),
        (np.array([[-5.5, 20.25], [1e5, 0]], np.float64), np.float32),
        (np.array([[-5, 300], [7, 0]], np.int16), np.float32),
        (np.array([[5, 300], [7, 0]], np.int16), np.uint16),
        (np.array([[5, 65535], [7, 0]], np.int32), np.uint16),
        (np.array([[5, 65536], [7, 0]], np.int32), np.float32),
        (np.array([[5, 300], [7, 0]], '>u2'), np.uint16),
    ],
)
def test_types_change_without_loss(tmp_path: Path, values: np.ndarray, expected: type) -> None:
    image = load(save(tmp_path / 'values.npy', values), channels=1, raw=True)
    assert image.dtype == expected
    assert image.tolist() == values.tolist()


def test_temperatures_in_tiff(tmp_path: Path) -> None:
    celsius = np.linspace(-20, 60, 24 * 32, dtype=np.float32).reshape(SHAPE)
    np.testing.assert_array_equal(load(save(tmp_path / 't.tiff', celsius), channels=1, raw=True), celsius)


@pytest.mark.parametrize('suffix', ['.tiff', '.npy'])
def test_stacks(tmp_path: Path, counts: np.ndarray, suffix: str) -> None:
    pages, path = [counts, counts + 1, counts + 2], tmp_path / f'stack{suffix}'
    if suffix == '.npy':
        np.save(path, np.stack(pages))
    else:
        first, *others = [Image.fromarray(page) for page in pages]
        first.save(path, save_all=True, append_images=others)
    for number, page in enumerate(pages):
        np.testing.assert_array_equal(read_infrared(path, page=number), page)
    for number, message in [
        (None, 'stack of more than one image.*expected a field "page"'),
        (3, 'page'),
        (-1, 'expected a page number from 0 on, got -1'),
        ('1', "expected a page number from 0 on, got '1'"),
    ]:
        with pytest.raises(ValueError, match=rf'stack{suffix}.*{message}'):
            read_infrared(path, page=number)


def test_page_of_a_single_image(tmp_path: Path, counts: np.ndarray) -> None:
    for suffix in ('.png', '.tiff', '.npy'):
        path = save(tmp_path / f'one{suffix}', counts)
        np.testing.assert_array_equal(read_infrared(path, page=0), counts)
        with pytest.raises(ValueError, match=f'one{suffix}.*page'):
            read_infrared(path, page=2)


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


WHOLE = npy(np.zeros(SHAPE, np.uint16))
PNG = cv2.imencode('.png', np.arange(768, dtype=np.uint16).reshape(SHAPE) * 9)[1].tobytes()
TIFF = cv2.imencode('.tiff', np.arange(768, dtype=np.uint16).reshape(SHAPE) * 9)[1].tobytes()
# Width and height of the header are 40,000; OpenCV raises an error of its own beyond 2^30 pixels.
HUGE = PNG[:16] + struct.pack('>II', 40_000, 40_000) + PNG[24:29]
HUGE += struct.pack('>I', zlib.crc32(HUGE[12:29])) + PNG[33:]
NAN = np.array([[1, np.nan], [np.inf, 2]], np.float32)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.png', b'', 'cannot read image .*a.png: the file is empty'),
        ('a.tiff', b'', 'cannot read image .*a.tiff: the file is empty'),
        ('a.png', b'no picture', 'cannot read image .*a.png: damaged'),
        ('a.png', PNG[: len(PNG) // 2], 'cannot read image .*a.png: damaged'),
        ('a.png', HUGE, 'image .*a.png: expected at most 64000000 pixels, got 40000x40000'),
        ('a.tiff', TIFF[: len(TIFF) // 2], 'cannot read image .*a.tiff: damaged'),
        ('a.npy', b'', 'cannot read image .*a.npy: not a whole .npy file'),
        ('a.npy', WHOLE[:-10], 'cannot read image .*a.npy: not a whole .npy file'),
        ('a.npy', npz(), 'a.npy: expected one array, got an archive'),
        ('a.npy', npy(np.array([[{}]], object)), 'cannot read image .*a.npy: not a whole .npy file of numbers'),
        ('a.npy', npy(np.zeros(SHAPE, bool)), 'a.npy: expected integers or floating-point numbers, got bool'),
        ('a.npy', npy(np.zeros(SHAPE, complex)), 'a.npy: expected integers or floating-point numbers, got complex128'),
        ('a.npy', npy(np.zeros((2, 3, 4, 5))), r'a.npy: expected an array \(H, W\) or a stack \(N, H, W\), got'),
        ('a.npy', npy(np.zeros((0, 5))), 'a.npy: expected pixels'),
        ('a.npy', npy(NAN), 'a.npy: 2 of 4 values are NaN, infinite or beyond float32'),
        ('a.npy', npy(np.full((2, 2), 1e39)), 'a.npy: 4 of 4 values are NaN, infinite or beyond float32'),
        ('a.npy', npy(np.full((2, 2), 2**24 + 1)), r'a.npy: expected values within \+-16777216, got 16777217'),
        ('a.tiff', cv2.imencode('.tiff', NAN)[1].tobytes(), 'a.tiff: 2 of 4 values are NaN'),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / name, raw=True)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='image not found: .*none.npy'):
        load(tmp_path / 'none.npy')


def test_size_differs_from_the_annotation_file(tmp_path: Path, counts: np.ndarray) -> None:
    path = save(tmp_path / 'a.png', counts)
    with pytest.raises(ValueError, match=r'a.png: expected height and width \(32, 24\) .*, got \(24, 32\)'):
        LoadIRImageFromFile(raw=True).transform({'img_path': str(path), 'height': 32, 'width': 24})


def test_counts_do_not_reach_a_model_unmapped(tmp_path: Path, counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match='a.png: expected 8 bits, got 16-bit counts; they need tone mapping.*raw=T'):
        load(save(tmp_path / 'a.png', counts))
    with pytest.raises(ValueError, match=r'b.npy: expected 8 bits, got floating-point values'):
        load(save(tmp_path / 'b.npy', counts / 7))


DISGUISES = {
    'no value exceeds 251': lambda grey: grey,
    'all values are multiples of 256': lambda grey: grey << 8,
    'all values are multiples of 257': lambda grey: grey << 8 | grey,
}


@pytest.mark.parametrize('reason', DISGUISES)
@pytest.mark.parametrize('suffix', ['.png', '.tiff', '.npy'])
def test_eight_bits_in_disguise(
    tmp_path: Path, counts: np.ndarray, reason: str, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    grey = (counts >> 6).clip(3, 251)
    values = DISGUISES[reason](grey)
    path = save(tmp_path / f'a{suffix}', values)
    with pytest.raises(ValueError, match=f'a{suffix}: .*got 8-bit content in a 16-bit file: {reason}'):
        load(path, channels=1, raw=True)
    np.testing.assert_array_equal(load(path, channels=1, raw=True, disguised='allow'), values)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    np.testing.assert_array_equal(load(path, channels=1, raw=True, disguised='warn'), values)
    logger.removeHandler(caplog.handler)
    assert reason in caplog.text and str(path) in caplog.text


def test_counts_are_no_disguise(counts: np.ndarray) -> None:
    assert eight_bit_content(counts) is None
    assert eight_bit_content(counts << 2) is None  # 14 bits in the upper part
    assert eight_bit_content(np.full(SHAPE, 256 * 28, np.uint16)) is None
    one_odd = (counts >> 6) << 8
    one_odd[-1, -1] += 1
    assert eight_bit_content(one_odd) is None


def test_colours_are_no_intensities(tmp_path: Path, counts: np.ndarray) -> None:
    grey = (counts >> 6).astype(np.uint8)
    equal = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(load(save(tmp_path / 'equal.png', equal), channels=1), grey)
    palette = equal.copy()
    palette[5, 6, 2] ^= 1
    with pytest.raises(ValueError, match='palette.png: expected grey values .*got colours'):
        load(save(tmp_path / 'palette.png', palette), channels=1)
    deep = np.stack([counts, counts, counts + 1], axis=-1)
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    with pytest.raises(ValueError, match='deep.png: expected grey values .*got colours'):
        load(tmp_path / 'deep.png', raw=True)
    with pytest.raises(ValueError, match=r'expected shape .*got \(2, 2, 4\)'):
        to_single_channel(np.zeros((2, 2, 4)), 'x')


def test_arrays_from_elsewhere_are_treated_as_files(tmp_path: Path, counts: np.ndarray) -> None:
    for array in (counts, counts.astype(np.int64), counts / 7, (counts >> 6).astype(np.uint8)):
        path = save(tmp_path / 'a.npy', array)
        for channels in (1, 3):
            loader = LoadIRImageFromFile(channels=channels, raw=True)
            expected = loader.transform({'img_path': str(path)})['img']
            got = loader.prepare(as_plain_type(array, 'camera'), 'camera')
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match='image camera: expected 8 bits, got 16-bit counts'):
        LoadIRImageFromFile().prepare(counts, 'camera')
    with pytest.raises(ValueError, match='image camera: expected shape'):
        as_plain_type(np.zeros((2, 3, 4, 5), np.uint8), 'camera')


@pytest.mark.parametrize('wrong', [{'channels': 4}, {'disguised': 'maybe'}, {'rjpeg': 'kelvin'}])
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f'{next(iter(wrong))}: expected one of'):
        LoadIRImageFromFile(**wrong)


def test_data_set_with_counts_beside_pictures_and_pages(tmp_path: Path, counts: np.ndarray) -> None:
    (tmp_path / 'images').mkdir()
    np.save(tmp_path / 'images' / 'stack.npy', np.stack([counts, counts + 1]))
    images = [
        {'id': i, 'file_name': f'{i}.png', 'counts': 'stack.npy', 'page': i, 'height': 24, 'width': 32} for i in (0, 1)
    ]
    coco = {'images': images, 'annotations': [], 'categories': class_categories()}
    (tmp_path / 'all.json').write_text(json.dumps(coco))
    pipeline = [{'type': 'LoadIRImageFromFile', 'channels': 1, 'raw': True}, {'type': 'PackDetInputs'}]
    config = {'type': 'IRDataset', 'data_root': str(tmp_path), 'ann_file': 'all.json', 'pipeline': pipeline}
    config['data_prefix'] = {'img': 'images/'}
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config | {'image_key': 'counts'})
        for page in (0, 1):
            np.testing.assert_array_equal(dataset[page]['inputs'][0].numpy(), counts + page)
        with pytest.raises(ValueError, match='raws'):
            DATASETS.build(config | {'image_key': 'raws'})


# FLIR R-JPEG. No camera's file is free to pass on; this one follows ExifTool's description of the format
# (https://exiftool.org/TagNames/FLIR.html).
PLANCK = {'r1': 14906.216, 'b': 1396.5, 'f': 1.0, 'o': -7261, 'r2': 0.010956882}


def flir_camera_info() -> bytes:
    """Record 0x20: object of emissivity 1 right before the camera, so only Planck's constants count."""
    info = bytearray(900)
    struct.pack_into('<6f', info, 32, 1.0, 0.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into('<f', info, 60, 0.5)
    struct.pack_into('<3f', info, 88, PLANCK['r1'], PLANCK['b'], PLANCK['f'])
    struct.pack_into('<5f', info, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9)
    struct.pack_into('<if', info, 776, PLANCK['o'], PLANCK['r2'])
    return bytes(info)


def flir_rjpeg(raw: np.ndarray, picture: np.ndarray) -> bytes:
    """A JPEG with raw counts and camera settings in an APP1 segment."""
    height, width = raw.shape
    data = struct.pack('<3H', 2, width, height).ljust(32, b'\0') + raw.astype('<u2').tobytes()
    records = [(1, data), (32, flir_camera_info()), (0, b''), (0, b'')]  # cameras leave free entries at the end
    directory, body, start = b'', b'', 64 + 32 * len(records)
    for kind, content in records:
        directory += struct.pack('>HHIIIIIII', kind, 2, 100, 1, start + len(body), len(content), 0, 0, 0)
        body += content
    header = b'FFF\0' + b'CAMCTRL\0'.ljust(16, b'\0') + struct.pack('>III', 100, 64, len(records))
    flir = header.ljust(64, b'\0') + directory + body
    segment = b'FLIR\0\x01\0\0' + flir
    jpeg = cv2.imencode('.jpg', picture)[1].tobytes()
    return jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(segment) + 2) + segment + jpeg[2:]


def test_rjpeg_needs_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.jpg'
    path.write_bytes(flir_rjpeg(np.full((6, 8), 17000), np.full((6, 8), 90, np.uint8)))
    assert abs(int(load(path, channels=1).mean()) - 90) <= 1  # the picture needs nothing
    monkeypatch.setitem(sys.modules, 'flyr', None)
    with pytest.raises(ImportError, match='a.jpg.*pip install flyr'):
        load(path, raw=True, rjpeg='celsius')


def test_other_jpegs_have_no_temperatures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'plain.jpg'), np.full(SHAPE, 90, np.uint8))
    with pytest.raises(ValueError, match='plain.jpg: expected a FLIR R-JPEG'):
        load(tmp_path / 'plain.jpg', raw=True, rjpeg='celsius')


@pytest.mark.skipif(importlib.util.find_spec('flyr') is None, reason='needs flyr (extra "data")')
def test_rjpeg_temperatures(tmp_path: Path) -> None:
    raw = np.array([[14000, 15500, 17000, 18500], [20000, 16000, 16500, 17500]])
    path = tmp_path / 'a.jpg'
    path.write_bytes(flir_rjpeg(raw, np.zeros((2, 4), np.uint8)))
    # Planck's law as FLIR writes it: T = B / ln(R1 / (R2 (S + O)) + F), Kelvin, for the unattenuated signal S.
    signal = PLANCK['r2'] * (raw + PLANCK['o'])
    expected = PLANCK['b'] / np.log(PLANCK['r1'] / signal + PLANCK['f']) - 273.15
    image = load(path, channels=1, raw=True, rjpeg='celsius')
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, expected, atol=0.02)
    assert -20 < expected.min() < 0 < 20 < expected.max() < 40


@pytest.mark.skipif(importlib.util.find_spec('flyr') is None, reason='needs flyr (extra "data")')
def test_rjpeg_settings_replace_those_of_the_camera(tmp_path: Path) -> None:
    """At no distance, the camera sees emissivity times the object, and the surroundings for the rest."""
    raw = np.array([[16500, 17000, 18500], [20000, 17500, 18000]])
    (tmp_path / 'a.jpg').write_bytes(flir_rjpeg(raw, np.zeros((2, 3), np.uint8)))
    r1, b, f, o, r2 = (PLANCK[name] for name in ('r1', 'b', 'f', 'o', 'r2'))
    surroundings = r1 / (r2 * (np.exp(b / (273.15 + 15)) - f)) - o
    seen = (raw - (1 - 0.8) * surroundings) / 0.8
    expected = b / np.log(r1 / (r2 * (seen + o)) + f) - 273.15
    settings = {'emissivity': 0.8, 'reflected': 15, 'distance': 0}
    image = load(tmp_path / 'a.jpg', channels=1, raw=True, rjpeg='celsius', rjpeg_settings=settings)
    np.testing.assert_allclose(image, expected, atol=0.02)
    far = load(tmp_path / 'a.jpg', channels=1, raw=True, rjpeg='celsius', rjpeg_settings={'distance': 200})
    assert np.abs(far - image).max() > 0.1


@pytest.mark.parametrize(
    ('rjpeg', 'settings', 'told'),
    [
        ('picture', {'emissivity': 0.9}, "expected rjpeg='celsius' beside"),
        ('celsius', {'emissivity': 95}, 'emissivity: expected a number from 0.01 to 1, got 95'),
        ('celsius', {'emisivity': 0.9}, r"expected names out of \['emissivity', 'reflected', 'distance'\], got"),
    ],
)
def test_rjpeg_settings_without_a_meaning(rjpeg: str, settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=f'rjpeg_settings: {told}'):
        LoadIRImageFromFile(raw=True, rjpeg=rjpeg, rjpeg_settings=settings)


@pytest.mark.skipif(importlib.util.find_spec('flyr') is None, reason='needs flyr (extra "data")')
def test_damaged_rjpeg(tmp_path: Path) -> None:
    content = flir_rjpeg(np.full((6, 8), 17000), np.zeros((6, 8), np.uint8))
    (tmp_path / 'a.jpg').write_bytes(content[:90] + zlib.compress(b'x') + content[150:])
    with pytest.raises(ValueError, match='cannot read the thermal data of R-JPEG .*a.jpg'):
        load(tmp_path / 'a.jpg', raw=True, rjpeg='celsius')
