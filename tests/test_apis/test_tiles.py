"""Tiles and their seams, with a model that finds every target exactly: what is joined has to be what was there."""

import mmdet_ir  # noqa: F401
from mmdet_ir.apis.inference.tiles import Tile, encode_crop, join, parse_tile, place, plan_tiles
from mmdet_ir.visualization.overlay import find_instances

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from scipy import ndimage

SIZE = (230, 310)


def perfect(labels: np.ndarray) -> InstanceData:
    """Detections of a tile: each number of the picture is a target, its class the number modulo two."""
    numbers = [int(number) for number in np.unique(labels) if number]
    masks = np.array([labels == number for number in numbers], dtype=bool).reshape(-1, *labels.shape)
    boxes = [
        [where[1].start, where[0].start, where[1].stop, where[0].stop]
        for mask in masks
        for where in ndimage.find_objects(mask.astype(int))
    ]
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([0.5 + 0.001 * number for number in numbers]),
        labels=torch.tensor([number % 2 for number in numbers], dtype=torch.long),
        masks=torch.from_numpy(masks),
    )


def tiled(picture: np.ndarray, tile: tuple[int, int], overlap: float) -> list:
    found, tiles = [], plan_tiles(picture.shape, tile, overlap)
    for part in tiles:
        for instance in find_instances(perfect(part.cut(picture)), np.zeros(2)):
            found.append((place(instance, part, picture.shape), part))
    return join(found, picture.shape, tiles)


def scene(seed: int, number: int = 40) -> np.ndarray:
    """Ellipses of 3 to 60 pixels that do not touch, numbered from 1."""
    rng, picture, count = np.random.default_rng(seed), np.zeros(SIZE, dtype=np.int32), 0
    while count < number:
        new = np.zeros(SIZE, dtype=np.uint8)
        center = (int(rng.integers(0, SIZE[1])), int(rng.integers(0, SIZE[0])))
        axes = tuple(int(value) for value in rng.integers(1, 31 if count < 10 else 8, 2))
        cv2.ellipse(new, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        if new.any() and not picture[cv2.dilate(new, np.ones((5, 5))) > 0].any():
            count += 1
            picture[new > 0] = count
    return picture


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('tile', [(100, 80), (64, 64), (400, 400), (310, 60)])
def test_every_target_is_found_once_with_its_whole_mask(seed: int, tile: tuple[int, int]) -> None:
    picture = scene(seed)
    found = tiled(picture, tile, 0.3)
    masks = {mask_utils.decode(instance.rle).astype(bool).tobytes(): instance for instance in found}
    assert len(found) == len(masks) == 40
    for number in range(1, 41):
        instance = masks[(picture == number).tobytes()]
        assert instance.label == number % 2 and instance.area == np.count_nonzero(picture == number)
        where = ndimage.find_objects((picture == number).astype(int))[0]
        assert instance.box == (where[1].start, where[0].start, where[1].stop, where[0].stop)


def test_neighbours_of_one_class_stay_apart() -> None:
    """Two targets side by side on a seam are two, although their boxes meet."""
    picture = np.zeros((60, 200), dtype=np.int32)
    picture[10:30, 80:110] = 1
    picture[30:50, 80:110] = 3
    assert len(tiled(picture, (100, 60), 0.2)) == 2


def test_a_poor_mask_of_a_cut_target_is_no_second_target() -> None:
    """In the left tile the target is whole; the right tile sees its end, and the model finds a third of that."""
    picture = np.zeros((60, 200), dtype=np.int32)
    picture[10:40, 60:95] = 1
    left, right = Tile(0, 0, 110, 60), Tile(80, 0, 200, 60)
    poor = np.zeros(right.shape, dtype=np.int32)
    poor[10:20, : 95 - right.x1] = 1
    found = [(place(find_instances(perfect(left.cut(picture)), np.zeros(2))[0], left, picture.shape), left)]
    found.append((place(find_instances(perfect(poor), np.zeros(2))[0], right, picture.shape), right))
    (instance,) = join(found, picture.shape, [left, right])
    assert instance.area == 30 * 35 and instance.crop.all()


@pytest.mark.parametrize(('columns', 'kept'), [((100, 110), False), ((70, 110), True), ((90, 100), True)])
def test_what_one_tile_invents_at_its_end_is_left_out(columns: tuple[int, int], kept: bool) -> None:
    """The left tile ends at column 110; the right one, which begins at 80, sees the place whole and finds nothing.

    The second place is seen whole by none of them, and the third one is not at the end of the left tile.
    """
    size, left, right = (60, 200), Tile(0, 0, 110, 60), Tile(80, 0, 200, 60)
    invented = np.zeros(left.shape, dtype=np.int32)
    invented[10:20, slice(*columns)] = 1
    found = [(place(find_instances(perfect(invented), np.zeros(2))[0], left, size), left)]
    assert len(join(found, size, [left, right])) == kept
    assert len(join(found, size, [left])) == 1


def test_codes_equal_those_of_whole_masks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        crop = rng.random((int(rng.integers(1, 12)), int(rng.integers(1, 12)))) < rng.choice([0.2, 0.8, 1.0])
        corner = (int(rng.integers(0, 30 - crop.shape[1] + 1)), int(rng.integers(0, 20 - crop.shape[0] + 1)))
        mask = np.zeros((20, 30), dtype=np.uint8, order='F')
        mask[corner[1] : corner[1] + crop.shape[0], corner[0] : corner[0] + crop.shape[1]] = crop
        assert encode_crop(crop, corner, (20, 30))['counts'] == mask_utils.encode(mask)['counts'].decode()
    assert not mask_utils.decode(encode_crop(np.zeros((0, 0), bool), (0, 0), (20, 30))).any()


@pytest.mark.parametrize('overlap', [0.0, 0.2, 0.5, 0.99])
def test_tiles_cover_the_image_and_overlap(overlap: float) -> None:
    for size, tile in (
        ((512, 640), (200, 100)),
        ((50, 50), (64, 64)),
        ((1, 999), (100, 100)),
        ((101, 100), (100, 100)),
    ):
        tiles = plan_tiles(size, tile, overlap)
        covered = np.zeros(size, dtype=int)
        for part in tiles:
            covered[part.y1 : part.y2, part.x1 : part.x2] += 1
        assert covered.min() >= 1 and len(set(tiles)) == len(tiles)
        assert {part.shape for part in tiles} == {(min(tile[1], size[0]), min(tile[0], size[1]))}
        starts = sorted({part.x1 for part in tiles})
        width = tiles[0].shape[1]
        assert all(b - a <= max(1, width * (1 - overlap)) for a, b in zip(starts, starts[1:], strict=False))


def test_what_is_no_tile() -> None:
    for text in ('640', '0x3', '640x', 'axb', '-1x5'):
        with pytest.raises(ValueError, match='WIDTHxHEIGHT'):
            parse_tile(text)
    for overlap in (1, -0.1, 2):
        with pytest.raises(ValueError, match='--overlap'):
            plan_tiles((10, 10), (5, 5), overlap)
    assert Tile(0, 0, 4, 4).overlap(Tile(4, 0, 8, 4)).shape[1] == 0
