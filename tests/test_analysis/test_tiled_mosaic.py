"""Counts of targets in tiles, with hand-made detections, and with a model that finds every target exactly."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import mmdet_ir  # noqa: F401
from mmdet_ir.analysis.tiled_mosaic import (
    MARGIN,
    count,
    draw_mosaic,
    inside,
    make_mosaic,
    match,
    measure_tiles,
    moved_windows,
    reaches,
    seen_by,
)
from mmdet_ir.apis import IRInferencer
from mmdet_ir.apis.inference.tiles import Tile, encode_crop
from mmdet_ir.visualization.overlay import FoundInstance

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from scipy import ndimage

sys.path.append(str(Path(__file__).parents[1] / 'test_deploy'))
from tiny_problem import write_problem

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis' / 'measure_tiles.py'
SIZE = (60, 100)


def rectangle(x1: int, y1: int, x2: int, y2: int, label: int = 0) -> FoundInstance:
    crop = np.ones((y2 - y1, x2 - x1), dtype=bool)
    return FoundInstance(
        label=label,
        score=0.9,
        box=(x1, y1, x2, y2),
        rle=encode_crop(crop, (x1, y1), SIZE),
        area=crop.size,
        corner=(x1, y1),
        crop=crop,
    )


REFERENCES = [
    rectangle(0, 0, 10, 10),  # found with an IoU of 0.8
    rectangle(20, 0, 30, 10),  # found twice: with 0.9 and with 0.6
    rectangle(40, 0, 50, 10),  # missed: another class stands there
    rectangle(60, 0, 70, 10),  # missed: only a piece of it is found, IoU 0.4
    rectangle(80, 0, 90, 10),  # found exactly
]
FOUND = [
    rectangle(0, 0, 10, 8),
    rectangle(20, 0, 26, 10),
    rectangle(20, 0, 30, 9),
    rectangle(40, 0, 50, 10, label=1),
    rectangle(60, 0, 70, 4),
    rectangle(80, 0, 90, 10),
    rectangle(0, 40, 10, 50),  # stands where no reference is
]


def test_what_is_found_once_twice_in_pieces_or_not() -> None:
    matches = match(REFERENCES, FOUND)
    np.testing.assert_allclose(matches.ious, [0.8, 0.9, 0, 0, 1])
    assert matches.again.tolist() == [0, 1, 0, 0, 0]
    assert np.flatnonzero(matches.extra).tolist() == [3, 4, 6]
    assert np.flatnonzero(matches.pieces).tolist() == [4]


def test_counts_of_some_of_the_references() -> None:
    left = count(REFERENCES, FOUND, lambda one: one.corner[0] < 65)
    assert left == {
        'references': 4, 'once': 1, 'again': 1, 'missed': 2, 'extra': 3, 'pieces': 1,
        'mean': pytest.approx(0.85), 'median': pytest.approx(0.85),
    }  # fmt: skip
    above = count(REFERENCES, FOUND, lambda one: one.corner[1] < 20)
    assert (above['references'], above['extra'], above['median']) == (5, 2, pytest.approx(0.9))


def test_one_detection_stands_for_one_reference() -> None:
    """Each of the references agrees with both detections; the pairs with the largest sum are 0.8 and 1."""
    pair = [rectangle(0, 0, 10, 10), rectangle(0, 0, 10, 9)]
    matches = match(pair, [rectangle(0, 0, 10, 9), rectangle(0, 0, 10, 8)])
    assert not matches.again.any() and not matches.extra.any() and (matches.ious > 0).all()
    alone = match(pair, [rectangle(0, 0, 10, 9)])
    np.testing.assert_allclose(alone.ious, [0, 1])


@pytest.mark.parametrize(('references', 'found'), [([], FOUND), (REFERENCES, []), ([], [])])
def test_nothing_on_one_side(references: list, found: list) -> None:
    row = count(references, found, lambda one: True)
    assert (row['references'], row['missed'], row['extra']) == (len(references), len(references), len(found))
    assert np.isnan(row['mean']) and row['again'] == row['pieces'] == 0


def test_where_a_mask_lies() -> None:
    tiles = [Tile(0, 0, 60, 60), Tile(40, 0, 100, 60)]
    assert reaches(rectangle(35, 5, 45, 10), tiles, SIZE) and reaches(rectangle(58, 5, 70, 10), tiles, SIZE)
    assert not reaches(rectangle(0, 0, 30, 60), tiles, SIZE)  # the ends of the image do not count
    assert reaches(rectangle(0, 0, 30, 60), tiles, SIZE, margin=10)
    assert [seen_by(rectangle(x, 5, x + 10, 10), tiles) for x in (30, 31, 55, 60)] == [1, 2, 2, 1]
    assert inside(rectangle(35, 5, 45, 10), tiles) and not inside(rectangle(35, 5, 65, 10), tiles)
    assert inside(rectangle(50, 5, 80, 10), tiles, 5) and not inside(rectangle(50, 5, 80, 10), tiles, 6)


def test_windows_lie_between_the_cells() -> None:
    _, cells = make_mosaic([np.zeros((10, 20))] * 6, 3)
    assert cells[4] == Tile(20, 10, 40, 20)
    assert moved_windows(cells) == [Tile(15, 10, 35, 20), Tile(40, 10, 60, 20)]
    _, row = make_mosaic([np.zeros((10, 6))] * 40, 40)  # gaps move the last ones beyond the end: they are left out
    assert [window.x1 for window in moved_windows(row)] == list(range(8, 235, 11))
    assert {(window.y1, window.y2) for window in moved_windows(row)} == {(0, 10)}


def test_images_that_are_no_mosaic() -> None:
    for images, columns in (([np.zeros((2, 3))] * 3, 2), ([], 2), ([np.zeros((2, 3))], 0)):
        with pytest.raises(ValueError, match='fill rows'):
            make_mosaic(images, columns)
    for other in (np.zeros((3, 2)), np.zeros((2, 3), np.uint8)):
        with pytest.raises(ValueError, match='one size and type'):
            make_mosaic([np.zeros((2, 3)), other], 2)


class Perfect(IRInferencer):
    """Finds every number of a picture as a target of the class 0; ``predict_tiled`` is the real one."""

    classes = ('human',)
    colors = ((255, 0, 0),)

    def __init__(self, pictures: dict[str, np.ndarray]) -> None:
        self.read = pictures.__getitem__
        self.prepare = lambda image, name: {'img': image}
        self.pipeline = SimpleNamespace(map_tones=lambda given: (given, lambda part: part))

    def predict(self, batch: list[dict]) -> list[InstanceData]:
        return [self.targets(data['img']) for data in batch]

    def targets(self, picture: np.ndarray) -> InstanceData:
        numbers = [int(number) for number in np.unique(picture) if number]
        masks = np.array([picture == number for number in numbers], dtype=bool).reshape(-1, *picture.shape)
        slices = [ndimage.find_objects(mask.astype(int))[0] for mask in masks]
        boxes = [[x.start, y.start, x.stop, y.stop] for y, x in slices]
        return InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.full((len(numbers),), 0.9),
            labels=torch.zeros(len(numbers), dtype=torch.long),
            masks=torch.from_numpy(masks),
        )


@pytest.fixture
def pictures() -> dict[str, np.ndarray]:
    """Four of 200x160 pixels, each with a lattice of 24 targets; their numbers are those of no other picture."""
    made = {}
    for picture in range(4):
        image = np.zeros((160, 200), dtype=np.uint8)
        for number in range(24):
            x, y = 1 + 30 * (number % 6), 6 + 35 * (number // 6)
            image[y : y + 9 + number % 5, x : x + 12] = 1 + 24 * picture + number
        made[f'{picture}.png'] = image
    return made


def test_a_perfect_model_loses_nothing(pictures: dict[str, np.ndarray]) -> None:
    """Tiles of 200x160 in a mosaic of 400x320 begin at the columns 0, 100 and 200 and at the rows 0, 80 and 160."""
    measured = measure_tiles(Perfect(pictures), list(pictures), 2)
    rows = dict(measured.rows)
    assert (len(measured.tiles), measured.equal) == (9, 4)
    mosaic, _ = make_mosaic(list(pictures.values()), 2)
    frames = [(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(mosaic)]
    near = [x1 - 16 <= 200 <= x2 + 16 or y1 - 16 <= 160 <= y2 + 16 for y1, y2, x1, x2 in frames]
    cut = [x1 <= 100 <= x2 or x1 <= 300 <= x2 or y1 <= 80 <= y2 or y1 <= 240 <= y2 for y1, y2, x1, x2 in frames]
    assert measured.near == sum(near) > 0
    kept = len(frames) - sum(near)
    at_ends = sum(c and not n for c, n in zip(cut, near, strict=True))
    # Columns 100 to 300 and rows 80 to 240 are seen by two tiles or more.
    several = sum(x2 > 100 and x1 < 300 or y2 > 80 and y1 < 240 for y1, y2, x1, x2 in frames) - sum(near)
    assert kept > several > at_ends > 0
    for name, number in (
        ('tiles: all', kept),
        ('tiles: at the end of a tile', at_ends),
        ('tiles: seen by one tile', kept - several),
        ('tiles: seen by several', several),
    ):
        assert (rows[name]['references'], rows[name]['once'], rows[name]['mean']) == (number, number, 1), name
        assert rows[name]['again'] == rows[name]['missed'] == rows[name]['extra'] == 0
    moved = rows['no tiles: moved']
    assert moved['references'] == moved['once'] > 0 and moved['extra'] == 0
    assert f'| tiles: all | {kept} | {kept} | 0 | 0 | 0 | 0 | 1.000 | 1.000 |' in measured.table()
    assert draw_mosaic(measured, Perfect.classes, Perfect.colors).shape == (320, 400, 3)


def without_joining(found: list, _size: tuple[int, int], _tiles: list) -> list:
    return [instance for instance, _ in found]


def test_targets_that_are_not_joined_are_told(
    pictures: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmdet_ir.apis.inference.inferencer.join', without_joining)
    rows = dict(measure_tiles(Perfect(pictures), list(pictures), 2, overlap=0.5).rows)
    assert rows['tiles: all']['missed'] == 0 < rows['tiles: all']['again']
    assert rows['tiles: at the end of a tile']['pieces'] > 0
    assert rows['no tiles: moved']['again'] == 0


def test_tiles_that_are_the_images_measure_nothing(pictures: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match='--overlap'):
        measure_tiles(Perfect(pictures), list(pictures), 2, overlap=0)


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_problem(tmp_path)
    images = [tmp_path / 'images' / f'{i}.png' for i in (0, 1, 2, 0)]
    words = [tmp_path / 'config.py', tmp_path / 'weights.pth', *images, '--columns', 2, '--tile', '50x40']
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, words), '--picture', str(tmp_path / 'mosaic.png')])
    runpy.run_path(str(TOOL), run_name='__main__')
    told = capsys.readouterr().out
    assert 'mosaic of 176x120 pixels; 20 tiles' in told and '| no tiles: moved |' in told
    assert cv2.imread(str(tmp_path / 'mosaic.png')).shape == (120, 176, 3)


def test_help_tells_the_margin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--help'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert f'within {MARGIN} pixels' in capsys.readouterr().out
