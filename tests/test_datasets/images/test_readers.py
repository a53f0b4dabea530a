"""Files of cameras, DICOM and raw pixels, written in their true layout, arrive with the values that were written."""

import json
import re
import struct
import sys
import zipfile
from pathlib import Path

from mmdet_ir.datasets.converters import Options, convert_labelme
from mmdet_ir.datasets.images import count_pages, read_infrared, readers, register_raw, register_reader
from mmdet_ir.datasets.images.files import find_images
from mmdet_ir.datasets.transforms import LoadIRImageFromFile
from mmdet_ir.datasets.validation.files import read_picture

import numpy as np
import pytest

HEIGHT, WIDTH = 12, 16
COUNTS = (7000 + np.arange(HEIGHT * WIDTH) * 3).reshape(HEIGHT, WIDTH).astype(np.uint16)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    readers.reader_suffixes()
    monkeypatch.setattr(readers, '_readers', dict(readers._readers))


def write_dicom(path: Path, pixels: np.ndarray, **fields: object) -> None:
    pydicom = pytest.importorskip('pydicom')
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    file.Rows, file.Columns, file.SamplesPerPixel = *pixels.shape[-2:], 1
    file.PhotometricInterpretation = 'MONOCHROME2'
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    if pixels.ndim == 3:
        file.NumberOfFrames = len(pixels)
    for name, value in fields.items():
        setattr(file, name, value)
    file.PixelData = pixels.astype('<u2').tobytes()
    file.save_as(path, enforce_file_format=True)


def test_dicom(tmp_path: Path) -> None:
    write_dicom(tmp_path / 'a.dcm', COUNTS)
    image = read_infrared(tmp_path / 'a.dcm')
    assert image.dtype == np.uint16 and (image == COUNTS).all()
    write_dicom(tmp_path / 'celsius.dcm', COUNTS, RescaleSlope='0.01', RescaleIntercept='-50')
    assert read_infrared(tmp_path / 'celsius.dcm') == pytest.approx(COUNTS * 0.01 - 50, abs=1e-4)
    write_dicom(tmp_path / 'stack.dcm', np.stack([COUNTS, COUNTS + 9]))
    assert count_pages(tmp_path / 'stack.dcm') == 2
    assert (read_infrared(tmp_path / 'stack.dcm', page=1) == COUNTS + 9).all()
    with pytest.raises(ValueError, match=r'stack\.dcm: is a stack of 2 images, .* a field "page"'):
        read_infrared(tmp_path / 'stack.dcm')
    with pytest.raises(ValueError, match='expected a page from 0 to 1, got 2'):
        read_infrared(tmp_path / 'stack.dcm', page=2)


def test_infiray(tmp_path: Path) -> None:
    """A C201 file: header of 128 bytes, 8-bit picture, values of 1/16 kelvin."""
    pytest.importorskip('infiray_irg')
    size = WIDTH * HEIGHT
    header = struct.pack('<HH', 0xACCA, 128)
    header += struct.pack('<IHHHHHHHIHHI', size, HEIGHT, WIDTH, 0, 0, 0, 10000, 0, 0, HEIGHT, WIDTH, 9500)
    header += struct.pack('<9IHHI', 10000, 10000, 10000, 0, 0, 0, 0, 0, 0, 0, 1, 0)
    header = header.ljust(126, b'\0') + bytes([0xAC, 0xCA])
    sixteenths = (293 * 16 + np.arange(size)).astype('<u2')
    (tmp_path / 'a.irg').write_bytes(header + bytes(size) + sixteenths.tobytes())
    image = read_infrared(tmp_path / 'a.irg')
    assert image.dtype == np.float32 and image.shape == (HEIGHT, WIDTH)
    assert image.ravel() == pytest.approx(sixteenths / 16 - 273.15, abs=1e-3)
    (tmp_path / 'cut.irg').write_bytes(header + bytes(10))
    with pytest.raises(ValueError, match=r'cannot read image .*cut\.irg: File is truncated'):
        read_infrared(tmp_path / 'cut.irg')


def test_telops(tmp_path: Path) -> None:
    """Three frames, written by the package's own writer: counts as they are, kelvin by the header's scale."""
    fasthcc = pytest.importorskip('fasthcc')
    frames = np.stack([COUNTS + 100 * number for number in range(3)])
    fasthcc.write_hcc(tmp_path / 'raw.hcc', frames, calibration_mode=0)
    assert count_pages(tmp_path / 'raw.hcc') == 3
    assert (read_infrared(tmp_path / 'raw.hcc', page=2) == frames[2]).all()
    fasthcc.write_hcc(tmp_path / 'kelvin.hcc', frames, calibration_mode=2, data_offset=273.15, data_exp=-8)
    assert read_infrared(tmp_path / 'kelvin.hcc', page=1) == pytest.approx(frames[1] / 256 + 273.15, abs=1e-3)


def write_is2(path: Path) -> np.ndarray:
    """An archive as the package reads it; counts 100 + n, a curve of counts = 10 T + 100, so that T = n / 10."""
    counts = (100 + np.arange(WIDTH * HEIGHT)).astype('<u2')
    a, b, c = 1e-9, 10.0, 100.0  # counts = a T^2 + b T + c
    curve = bytearray(24)
    for place, value in ((0, -5.0), (5, 60.0), (10, c), (15, b), (20, a)):
        curve[place : place + 4] = struct.pack('<f', value)
    calibration = bytearray(40)
    calibration[18] = 1
    calibration[20:23] = bytes([74, 25, 13])
    info = bytearray(64)
    info[33:37], info[38:42], info[43:47] = (struct.pack('<f', value) for value in (1.0, 20.0, 1.0))
    sizes = {'IRPROP_IR_SENSOR_WIDTH': WIDTH, 'IRPROP_IR_SENSOR_HEIGHT': HEIGHT}
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('ImageProperties.json', json.dumps({**sizes, 'IRPROP_THERMAL_IMAGE_EMISSIVITY': 1.0}))
        file.writestr('CalibrationData.gpbenc', bytes(calibration[:23] + curve + bytes(8)))
        file.writestr('Images/Main/IRImageInfo.gpbenc', bytes(info))
        file.writestr('Images/Main/IR.data', bytes(2 * WIDTH) + counts.tobytes())
    return (counts.reshape(HEIGHT, WIDTH) - 100.0) / 10


def test_fluke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('fluke_thermal_reader')
    expected = write_is2(tmp_path / 'a.is2')
    monkeypatch.chdir(tmp_path)
    assert read_infrared('a.is2') == pytest.approx(expected, abs=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ['a.is2']  # nothing is left in the folder


@pytest.mark.parametrize(
    ('suffix', 'module', 'package'),
    [
        ('.dcm', 'pydicom', 'pydicom'),
        ('.irg', 'infiray_irg', 'infiray-irg'),
        ('.is2', 'fluke_thermal_reader', 'fluke-thermal-reader'),
        ('.hcc', 'fasthcc', 'fasthcc'),
    ],
)
def test_a_missing_package_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str, package: str
) -> None:
    for name in [name for name in sys.modules if name.split('.')[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f'a{suffix}').write_bytes(b'x' * 500)
    with pytest.raises(ImportError, match=re.escape(f'a{suffix}') + f': reading .* pip install {package}$'):
        read_infrared(tmp_path / f'a{suffix}')


def test_raw_pixels(tmp_path: Path) -> None:
    register_raw(WIDTH, HEIGHT, '>u2')
    (tmp_path / 'a.raw').write_bytes(COUNTS.astype('>u2').tobytes() + (COUNTS + 5).astype('>u2').tobytes())
    assert count_pages(tmp_path / 'a.raw') == 2 and (read_infrared(tmp_path / 'a.raw', page=1) == COUNTS + 5).all()
    (tmp_path / 'b.raw').write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r'b\.raw: expected a multiple of 384 bytes, 16x12 pixels of uint16, got 100'):
        read_infrared(tmp_path / 'b.raw')
    for wrong in (('640', 'x', 'uint16'), (640, 0, 'uint16'), (4, 4, 'complex64'), (4, 4, 'counts')):
        with pytest.raises(ValueError, match='--raw: expected width, height and the type'):
            register_raw(*wrong)


def test_raw_files_of_a_labelling_tool_become_arrays(tmp_path: Path) -> None:
    src = tmp_path / 'src'
    src.mkdir()
    (src / 'a.raw').write_bytes(COUNTS.tobytes())
    shape = {'label': 'fox', 'shape_type': 'polygon', 'points': [[2, 2], [9, 2], [9, 9]]}
    (src / 'a.json').write_text(json.dumps({'shapes': [shape], 'imagePath': 'a.raw'}))
    register_raw(WIDTH, HEIGHT, 'uint16')
    convert_labelme(src, tmp_path / 'out', Options(raw=True))
    (image,) = json.loads((tmp_path / 'out' / 'annotations' / 'all.json').read_text())['images']
    assert image['file_name'] == 'a.npy' and (image['width'], image['height']) == (WIDTH, HEIGHT)
    assert (np.load(tmp_path / 'out' / 'images' / 'a.npy') == COUNTS).all()


def test_a_reader_of_ones_own_serves_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loader, validator, search for images, and a module that is named for tools without a config."""

    @register_reader('.cam', count=lambda path: path.stat().st_size // COUNTS.nbytes)
    def read_cam(path: Path, page: int) -> np.ndarray:
        return np.fromfile(path, '<u2').reshape(-1, HEIGHT, WIDTH)[page]

    (tmp_path / 'a.CAM').write_bytes(COUNTS.tobytes())
    image = LoadIRImageFromFile(channels=1, raw=True)({'img_path': str(tmp_path / 'a.CAM')})['img']
    assert (image == COUNTS).all()
    found = read_picture(tmp_path / 'a.CAM')
    assert not found.fault and found.size == (WIDTH, HEIGHT) and found.depth == 'uint16'
    assert [path.name for path in find_images(tmp_path)] == ['a.CAM']
    register_reader('.flat')(lambda path, page: np.zeros(4))
    (tmp_path / 'a.flat').write_bytes(b'x')
    with pytest.raises(ValueError, match=r'a\.flat: expected the values of one image, \(H, W\), got the shape \(4,\)'):
        read_infrared(tmp_path / 'a.flat')
    with pytest.raises(ValueError, match='expected endings with a dot'):
        register_reader('cam')
    (tmp_path / 'my_camera.py').write_text(
        'import numpy as np\nfrom mmdet_ir.datasets.images import register_reader\n'
        "register_reader('.mine')(lambda path, page: np.full((2, 3), 7000, np.uint16))\n"
    )
    (tmp_path / 'a.mine').write_bytes(b'x')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('MMDET_IR_READERS', 'my_camera')
    assert read_infrared(tmp_path / 'a.mine').tolist() == [[7000] * 3] * 2
    monkeypatch.setenv('MMDET_IR_READERS', 'no_camera')
    with pytest.raises(ImportError, match="MMDET_IR_READERS: cannot import 'no_camera'"):
        read_infrared(tmp_path / 'a.mine')
