"""tools/infer.py --tile on TIFF pages above the limit of pixels: read by parts, they give what they give whole."""

import csv
import json
import runpy
import sys
from pathlib import Path

from mmdet_ir.apis.inference import overview
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.apis.inference.overview import reduction, small_instances, small_picture
from mmdet_ir.apis.inference.run import infer
from mmdet_ir.datasets.images.image_limits import LIMIT_VARIABLE
from mmdet_ir.datasets.images.tiff_parts import TiffParts
from mmdet_ir.visualization.overlay import FoundInstance, draw_instances

import cv2
import numpy as np
import pytest
import tifffile

REPO = Path(__file__).parents[2]
HEIGHT, WIDTH = 150, 210
DEFLATE = {'compression': 'zlib', 'predictor': True}
PLAIN = """
_base_ = '{base}'
pipeline = [
    dict(type='{loader}'), dict(type='Resize', scale=(96, 64)), dict(type='PackDetInputs', meta_keys=_base_.meta)]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
model = dict(test_cfg=dict(rcnn=dict(score_thr=0.0)))
"""
TILE = {'tile': (96, 64), 'scores': ['0'], 'device': 'cpu'}


def counts(seed: int = 0) -> np.ndarray:
    image = np.random.default_rng(seed).normal(7000, 40, (HEIGHT, WIDTH))
    image[20:32, 10:190:30] += 900
    image[100:140, :] += np.linspace(0, 2000, WIDTH)
    return image.round().astype(np.uint16)


def everything(out: Path) -> list[object]:
    """Detections without the paths of the files, the table, and the picture."""
    found = json.loads((out / 'detections.json').read_text())['annotations']
    rows = list(csv.DictReader((out / 'detections.csv').open()))
    return [found, rows, [cv2.imread(str(path)).tolist() for path in sorted(out.glob('overlays/*.png'))]]


@pytest.mark.parametrize(
    'method', ["'linear'", "'window', low=6900, high=8200", "'percentile'", "'plateau', plateau=0.5"]
)
@pytest.mark.parametrize('form', [{'rowsperstrip': 20}, {'tile': (48, 32)}], ids=['strips', 'tiles'])
def test_parts_give_what_the_whole_gives(
    model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, form: dict
) -> None:
    path = tmp_path / 'large.tif'
    tifffile.imwrite(path, counts(), **DEFLATE, **form)
    text = Path(model[0]).read_text().replace("method='percentile'", f'method={method}')
    (tmp_path / 'config.py').write_text(text)
    infer(tmp_path / 'config.py', model[1], [path], tmp_path / 'whole', **TILE)
    monkeypatch.setenv(LIMIT_VARIABLE, '5000')
    monkeypatch.setattr(TiffParts, 'bands', _watched(TiffParts.bands, seen := []))
    infer(tmp_path / 'config.py', model[1], [path], tmp_path / 'parts', **TILE, batch_size=1)
    assert seen == [(HEIGHT, WIDTH)]
    whole, parts = everything(tmp_path / 'whole'), everything(tmp_path / 'parts')
    assert whole == parts and len(whole[0]) > 20 and len(whole[2]) == 1


def _watched(function: object, seen: list) -> object:
    def watched(self: TiffParts) -> object:
        seen.append(self.shape)
        return function(self)

    return watched


@pytest.mark.parametrize('loader', ['LoadImageFromFile', 'LoadIRImageFromFile'])
def test_eight_bits_without_tone_mapping_and_pages_of_a_stack(
    model: tuple, toy_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    (tmp_path / 'plain.py').write_text(PLAIN.format(base=toy_config, loader=loader))
    levels = (counts() // 40).astype(np.uint8)
    pages = [levels, np.ascontiguousarray(levels.T), 255 - levels][: 1 if loader == 'LoadImageFromFile' else 3]
    with tifffile.TiffWriter(tmp_path / 'a.tif', bigtiff=True, byteorder='>') as file:
        for page in pages:
            file.write(page, compression='zlib', rowsperstrip=30)
    for name in ('whole', 'parts'):
        report = infer(tmp_path / 'plain.py', model[1], [tmp_path / 'a.tif'], tmp_path / name, **TILE)
        assert report['frames'] == len(pages) and report['skipped'] == report['reduced'] == []
        monkeypatch.setenv(LIMIT_VARIABLE, str(HEIGHT * WIDTH - 1))
    assert everything(tmp_path / 'whole') == everything(tmp_path / 'parts')


def test_the_picture_of_a_large_image_is_smaller(
    model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tifffile.imwrite(tmp_path / 'large.tif', counts(), **DEFLATE, rowsperstrip=20)
    monkeypatch.setenv(LIMIT_VARIABLE, '10000')
    monkeypatch.setattr(overview, 'OVERVIEW', 4000)
    command = [
        'infer.py',
        *model,
        tmp_path / 'large.tif',
        '--out',
        tmp_path / 'out',
        '--tile',
        '96x64',
        '--score',
        '0',
    ]
    monkeypatch.setattr(sys, 'argv', [str(word) for word in (*command, '--device', 'cpu')])
    runpy.run_path(str(REPO / 'tools' / 'infer.py'), run_name='__main__')
    assert 'large.tif: its picture is 3 times smaller each way' in capsys.readouterr().out
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert report['reduced'] == [{'path': str(tmp_path / 'large.tif'), 'frame': None, 'factor': 3}]
    picture = cv2.imread(str(tmp_path / 'out' / 'overlays' / 'large.png'))
    assert picture.shape == (50, 70, 3) and (picture.max(axis=2) > picture.min(axis=2)).any()  # (boxes have colours)


@pytest.mark.parametrize(('low', 'factor'), [(4000, 3), (HEIGHT * WIDTH, 1), (HEIGHT * WIDTH - 1, 2), (1, 210)])
def test_the_factor(monkeypatch: pytest.MonkeyPatch, low: int, factor: int) -> None:
    """150 x 210 pixels; by 3: 50 x 70 = 3500, by 2: 75 x 105 = 7875."""
    monkeypatch.setattr(overview, 'OVERVIEW', low)
    monkeypatch.setattr(overview, 'LARGEST_PICTURE', 100)
    assert reduction(np.zeros((HEIGHT, WIDTH), np.uint8)) == factor


@pytest.mark.parametrize('shape', [(24, 36), (23, 37), (23, 37, 3)])
def test_a_smaller_picture_has_the_means(monkeypatch: pytest.MonkeyPatch, shape: tuple) -> None:
    monkeypatch.setattr(overview, '_BAND', 3 * 37 * 4)
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    padded = np.pad(levels, [(0, -shape[0] % 3), (0, -shape[1] % 3), *[(0, 0)] * (len(shape) - 2)], 'edge')
    cells = padded.reshape(padded.shape[0] // 3, 3, padded.shape[1] // 3, 3, -1).mean(axis=(1, 3))
    assert np.abs(small_picture(levels, 3) - cells[..., ::-1]).max() <= 0.5
    assert small_picture(levels, 1).shape == (*shape[:2], 3)


@pytest.mark.parametrize('kind', [np.uint16, np.float32])
def test_other_values_than_8_bits_are_stretched(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Also where the lowest and the highest value lie in different bands, and where all values are equal."""
    monkeypatch.setattr(overview, '_BAND', 40)
    values = np.arange(7000, 7000 + 30 * 40, dtype=kind).reshape(30, 40)
    expected = np.linspace(0, 255, 30 * 40).reshape(30, 40)
    assert np.abs(small_picture(values, 1) - expected[..., None]).max() <= 0.51
    cells = expected.reshape(15, 2, 20, 2).mean(axis=(1, 3))
    assert np.abs(small_picture(values, 2) - cells[..., None]).max() <= 1.01
    colours = np.dstack([values, values[::-1], np.full_like(values, 7000)])  # blue, green, red
    drawn = small_picture(colours, 1)
    assert not drawn[..., 0].any() and np.abs(drawn[..., 2] - expected).max() <= 0.51
    assert not small_picture(np.full((4, 5), 7000, kind), 1).any()


def test_a_smaller_picture_has_no_labels() -> None:
    """All that is drawn of one target of a pixel is its contour and its box, three pixels around it."""
    instance = FoundInstance(0, 0.5, (20, 20, 21, 21), {}, 1, (20, 20), np.ones((1, 1), bool))
    drawn = draw_instances(np.zeros((64, 96, 3), np.uint8), [instance], ['human'], [(255, 0, 0)], 1, labels=False)
    expected = np.zeros((64, 96), bool)
    expected[17:25, 17:25] = True
    expected[18:24, 18:24] = False  # the box
    expected[[19, 20, 20, 21], [20, 19, 21, 20]] = True
    red = (drawn == (255, 0, 0)).all(axis=2)
    assert not drawn[~red].any() and not (expected & ~red).any() and not red[20, 20] and red.sum() <= 28 + 8


def test_no_target_disappears_in_a_smaller_picture() -> None:
    crop = np.zeros((3, 5), bool)
    crop[[0, 2], [0, 4]] = True
    small = small_instances([FoundInstance(1, 0.5, (11, 6, 16, 9), {}, 2, (11, 6), crop)], 4)[0]
    # pixels (row 6, column 11) and (row 8, column 15) stand in the cells (1, 2) and (2, 3)
    assert small.corner == (2, 1) and small.crop.tolist() == [[True, False], [False, True]]
    assert small.area == 2 and small.box == (2.75, 1.5, 4, 2.25)


@pytest.mark.parametrize(
    ('change', 'page', 'reason'),
    [
        ({"method='percentile'": "method='clahe'"}, counts(), "'clahe' looks at neighbouring pixels"),
        ({'raw=True': 'raw=False'}, counts(), 'expected 8 bits, got 16-bit counts'),
        ({'raw=True': 'raw=True, to_float32=True'}, counts(), 'to_float32=True'),
        ({}, counts() % 256, '8-bit content in a 16-bit file: no value exceeds 255'),
        ({}, (counts() % 251) * 256, '8-bit content in a 16-bit file: all values are multiples of 256'),
        ({}, cv2.blur(counts(), (9, 9)).byteswap(), 'the two bytes of its 16-bit values have changed places'),
    ],
)
def test_what_is_refused_whole_is_refused_before_the_first_tile(
    model: tuple,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict,
    page: np.ndarray,
    reason: str,
) -> None:
    tifffile.imwrite(tmp_path / 'a.tif', page.astype(np.uint16), **DEFLATE, rowsperstrip=10)
    text = Path(model[0]).read_text()
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / 'config.py').write_text(text)
    monkeypatch.setenv(LIMIT_VARIABLE, '10000')
    monkeypatch.setattr(IRInferencer, 'predict', lambda *_: pytest.fail('a tile was predicted'))
    with pytest.raises(ValueError, match='none of the inputs could be used') as caught:
        infer(tmp_path / 'config.py', model[1], [tmp_path / 'a.tif'], tmp_path / 'out', **TILE)
    assert reason in str(caught.value) and 'a.tif' in str(caught.value)


def test_the_limit_names_the_way_out(model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / 'a.tif', counts())
    cv2.imwrite(str(tmp_path / 'a.png'), counts())
    monkeypatch.setenv(LIMIT_VARIABLE, '10000')
    inferencer = IRInferencer(*model, device='cpu', show_progress=False)
    with pytest.raises(ValueError, match='at most 10000 pixels, got 210x150.*--tile 640x512 reads a TIFF by parts'):
        inferencer.read(tmp_path / 'a.tif')
    for by_parts in (False, True):
        with pytest.raises(ValueError, match='at most 10000 pixels') as caught:
            inferencer.read(tmp_path / 'a.png', by_parts=by_parts)
        assert '--tile' not in str(caught.value)
