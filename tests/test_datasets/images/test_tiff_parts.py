"""Parts of TIFF pages, against the arrays that were written; and pages that cannot be read by parts."""

import importlib.util
import tracemalloc
import zlib
from pathlib import Path

from mmdet_ir.datasets.images import tiff_parts
from mmdet_ir.datasets.images.image_limits import LIMIT_VARIABLE
from mmdet_ir.datasets.images.tiff_parts import open_parts
from mmdet_ir.datasets.images.values import SwappedBytesError

import cv2
import numpy as np
import pytest
import tifffile

SHAPE = (203, 170)
DEFLATE = {'compression': 'zlib'}
FORMS = {
    'in one piece': {},
    'strips in one piece': {'rowsperstrip': 16},
    'plain tiles': {'tile': (64, 48)},
    'deflate strips': DEFLATE | {'rowsperstrip': 7},
    'deflate tiles': DEFLATE | {'tile': (32, 48)},
    'predictor': DEFLATE | {'tile': (16, 256), 'predictor': True},
    'big endian': {'byteorder': '>'},
    'big endian, predictor': DEFLATE | {'rowsperstrip': 31, 'predictor': True, 'byteorder': '>'},
    'BigTIFF': DEFLATE | {'rowsperstrip': 50, 'bigtiff': True},
    'BigTIFF, big endian': {'bigtiff': True, 'byteorder': '>', 'tile': (64, 64)},
}


def page(dtype: type, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, SHAPE, dtype, endpoint=True)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_windows_are_those_of_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, dtype: type
) -> None:
    monkeypatch.setattr(tiff_parts, '_BAND', 3000)
    monkeypatch.setattr(tiff_parts, '_CACHE', 9000)
    image = page(dtype)
    tifffile.imwrite(tmp_path / 'a.tif', image, photometric='minisblack', **FORMS[form])
    parts = open_parts(tmp_path / 'a.tif', limit=1000)
    assert parts.shape == SHAPE and parts.dtype == dtype and parts.size == image.size
    rng = np.random.default_rng(1)
    windows = [(0, 0, *SHAPE[::-1]), (0, 0, 1, 1), (169, 202, 170, 203), (5, 9, 5, 30)]
    for _ in range(40):
        (x1, x2), (y1, y2) = (sorted(rng.integers(0, side + 1, 2).tolist()) for side in SHAPE[::-1])
        windows.append((x1, y1, x2, y2))
    for x1, y1, x2, y2 in windows:
        found = parts[y1:y2, x1:x2]
        np.testing.assert_array_equal(found, image[y1:y2, x1:x2])
        assert found.dtype == image.dtype and found.dtype.isnative
    np.testing.assert_array_equal(parts.counts, np.bincount(image.ravel(), minlength=np.iinfo(dtype).max + 1))


def test_each_strip_of_a_row_of_tiles_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, decode = [], tiff_parts._decode
    monkeypatch.setattr(tiff_parts, '_decode', lambda layout, number: decoded.append(number) or decode(layout, number))
    tifffile.imwrite(tmp_path / 'a.tif', page(np.uint8), **DEFLATE, rowsperstrip=20)
    parts = open_parts(tmp_path / 'a.tif', limit=1000)
    for x in range(0, 170, 10):
        _ = parts[30:90, x : x + 20]
    assert decoded == [1, 2, 3, 4]


def test_pages_of_a_stack_and_reduced_copies(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        for seed in range(3):
            file.write(page(np.uint16, seed), **DEFLATE, rowsperstrip=40)
            file.write(page(np.uint16)[::2, ::2], subfiletype=1)
    for seed in range(3):
        np.testing.assert_array_equal(
            open_parts(tmp_path / 'a.tif', seed, limit=1000)[:, 3:], page(np.uint16, seed)[:, 3:]
        )
    with pytest.raises(ValueError, match='a stack of more than one image'):
        open_parts(tmp_path / 'a.tif', limit=1000)
    with pytest.raises(ValueError, match='got page 3'):
        open_parts(tmp_path / 'a.tif', 3, limit=1000)


def test_what_is_within_the_limit_or_no_tiff_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / 'a.tif', page(np.uint8))
    cv2.imwrite(str(tmp_path / 'a.png'), page(np.uint8))
    assert open_parts(tmp_path / 'a.tif') is open_parts(tmp_path / 'a.png', limit=10) is None
    monkeypatch.setenv(LIMIT_VARIABLE, str(203 * 170 - 1))
    assert open_parts(tmp_path / 'a.tif') is not None and open_parts(tmp_path / 'no.tif') is None


@pytest.mark.parametrize(
    ('image', 'form', 'reason'),
    [
        (page(np.uint8), {'photometric': 'miniswhite'}, 'MINISWHITE'),
        (page(np.uint16).astype(np.float32), {}, r'got 32 bits \(float32\)'),
        (page(np.uint16).view(np.int16), {}, r'got 16 bits \(int16\)'),
        (np.dstack([page(np.uint8)] * 3), {'photometric': 'rgb'}, '3 a pixel, RGB'),
        (page(np.uint8), {'extratags': [(274, 'H', 1, 6, True)]}, 'orientation 6'),
        (
            page(np.uint8),
            DEFLATE | {'rowsperstrip': 203},
            'each strip has 34510 pixels, of which at most 20000 .*tiles',
        ),
        (page(np.uint8), DEFLATE | {'tile': (208, 176)}, 'each tile has 36608 pixels'),
        (page(np.uint8), {'compression': 'packbits', 'rowsperstrip': 20}, 'PACKBITS; write it with deflate'),
    ],
)
def test_what_cannot_be_read_by_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: np.ndarray, form: dict, reason: str
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, '20000')
    if form.get('compression') == 'packbits':  # (which tifffile does not write by itself)
        parameters = [cv2.IMWRITE_TIFF_COMPRESSION, 32773, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 20]
        assert cv2.imwrite(str(tmp_path / 'a.tif'), image, parameters)
    else:
        tifffile.imwrite(tmp_path / 'a.tif', image, **form)
    with pytest.raises(ValueError, match=f'a.tif: cannot be read by parts: .*{reason}'):
        open_parts(tmp_path / 'a.tif')


def test_lzw_names_what_decodes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, 'find_spec', lambda *_: None)  # (as without imagecodecs)
    cv2.imwrite(str(tmp_path / 'a.tif'), page(np.uint16))  # OpenCV's default
    with pytest.raises(ValueError, match='LZW needs the package imagecodecs'):
        open_parts(tmp_path / 'a.tif', limit=1000)


def test_missing_values_and_swapped_bytes(tmp_path: Path) -> None:
    image = np.full(SHAPE, 7000, np.uint16) + np.arange(170, dtype=np.uint16)
    image[5, 7:10] = 0
    for nodata, wrong in (('0', True), ('1', False), ('-9999', False), ('nan', False), ('70000', False)):
        tifffile.imwrite(tmp_path / 'a.tif', image, extratags=[(42113, 's', 0, nodata, True)])
        parts = open_parts(tmp_path / 'a.tif', limit=1000)
        if wrong:
            with pytest.raises(ValueError, match='a.tif: 3 of 34510 values are 0, which the file calls "nodata"'):
                _ = parts.counts
        else:
            assert parts.counts[0] == 3
    tifffile.imwrite(tmp_path / 'b.tif', image.byteswap(), **DEFLATE, rowsperstrip=10)
    with pytest.raises(SwappedBytesError, match='b.tif'):
        _ = open_parts(tmp_path / 'b.tif', limit=1000).counts


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, page(np.uint8))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match='a.tif: cannot be read by parts: the file ends within the pixels'):
        open_parts(path, limit=1000)
    tifffile.imwrite(path, page(np.uint8), **DEFLATE, rowsperstrip=20)
    with tifffile.TiffFile(path) as file:
        place, length = file.pages[0].dataoffsets[3], file.pages[0].databytecounts[3]
    content = path.read_bytes()
    for new in (content[:place] + b'\1' * length + content[place + length :], content[: place + 5]):
        path.write_bytes(new)
        with pytest.raises(ValueError, match='a.tif: (strip or tile 3 is damaged|cannot be read by parts)'):
            _ = open_parts(path, limit=1000)[60:80, :]


def test_a_strip_that_grows_does_not_fill_the_memory(tmp_path: Path) -> None:
    """20 KB that become 20 MB in a strip of 30 KB."""
    path, side = tmp_path / 'a.tif', 170
    bomb = zlib.compress(b'\0' * 20_000_000)
    strips = [zlib.compress(bytes(side * side)), bomb]
    assert len(bomb) < 2 * side * side
    tifffile.imwrite(path, iter(strips), shape=(2 * side, side), dtype=np.uint8, **DEFLATE, rowsperstrip=side)
    parts = open_parts(path, limit=1000)
    assert not parts[:side, :].any()
    tracemalloc.start()
    with pytest.raises(ValueError, match='strip or tile 1 is damaged: a strip or tile of 28900 bytes holds more'):
        _ = parts[side:, :]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
