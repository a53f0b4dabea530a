"""Masks of several polygons, against pycocotools' merge and shapely."""

import copy

from mmdet_ir.datasets.coco_files import CLASSES
from mmdet_ir.datasets.validation.annotations import Needs, check_everything
from mmdet_ir.datasets.validation.checks.masks import parse_masks
from mmdet_ir.datasets.validation.checks.parts import hole_mask, measure_parts
from mmdet_ir.datasets.validation.repairs.repair import repair

import numpy as np
import pytest
import shapely
from pycocotools import mask as mask_utils

WIDTH, HEIGHT = 96, 64


def rectangle(x: float, y: float, w: float, h: float) -> list[float]:
    return [x, y, x + w, y, x + w, y + h, x, y + h]


OUTER, INNER, ISLAND = rectangle(10, 10, 16, 28), rectangle(14, 14, 8, 20), rectangle(16, 18, 4, 8)
HOLE = 16 * 28 - 8 * 20


def union(polygons: list[list[float]]) -> int:
    return int(mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(polygons, HEIGHT, WIDTH))))


def measure(polygons: list[list[float]], size=(WIDTH, HEIGHT)):
    return measure_parts(parse_masks([polygons], np.array([size], float)), np.array([size], float)).get(0)


def data_set(segmentation, area: float) -> dict:
    """Four targets, one of each class, with this mask and area."""
    entry = {'image_id': 1, 'bbox': [10, 10, 16, 28], 'iscrowd': 0, 'segmentation': segmentation, 'area': area}
    return {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT}],
        'annotations': [copy.deepcopy(entry) | {'id': k, 'category_id': k} for k in range(1, 5)],
        'categories': [{'id': k, 'name': name} for k, name in enumerate(CLASSES, start=1)],
    }


def codes(coco: dict) -> set[str]:
    found = {problem.code for problem in check_everything(coco, Needs(CLASSES))[0]}
    return found & {'area-mismatch', 'polygon-hole'}


@pytest.mark.parametrize('seed', range(20))
def test_union_and_what_an_odd_number_covers(seed):
    """Random triangles and rectangles, some of them beyond the image."""
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-10, [100, 70], (rng.integers(3, 5), 2)).ravel().tolist() for _ in range(4)]
    drawn = sum(mask_utils.decode(mask_utils.frPyObjects([p], HEIGHT, WIDTH))[..., 0].astype(int) for p in polygons)
    parts = measure(polygons)
    assert parts.union == union(polygons) == (drawn > 0).sum()
    assert parts.even_odd == (drawn % 2).sum()
    if (unknown := measure(polygons, (np.nan, np.nan))) is not None:  # of the image
        shapes = [shapely.Polygon(np.reshape(p, (-1, 2))).buffer(0) & shapely.box(0, 0, 200, 200) for p in polygons]
        assert unknown.union >= parts.union
        if all(shapely.Polygon(np.reshape(p, (-1, 2))).is_valid for p in polygons):
            merged = shapely.union_all(shapes)
            assert unknown.union == pytest.approx(merged.area, abs=merged.length + 4)


def test_parts_that_lie_apart_are_not_drawn():
    assert measure([OUTER, rectangle(40, 10, 5, 5)]) is None and measure([OUTER]) is None


@pytest.mark.parametrize(
    ('polygons', 'nested', 'even_odd'),
    [
        ([OUTER, INNER], True, HOLE),
        ([INNER, OUTER], True, HOLE),
        ([OUTER, INNER, ISLAND], True, HOLE + 32),
        ([OUTER, OUTER], False, 0),
        ([rectangle(10, 10, 16, 20), rectangle(10, 18, 16, 20)], False, 16 * 16),
    ],
)
def test_nested(polygons, nested, even_odd):
    parts = measure(polygons)
    assert (parts.nested, parts.even_odd) == (nested, even_odd)


@pytest.mark.parametrize(
    ('segmentation', 'area', 'found'),
    [
        ([OUTER, INNER], HOLE, {'polygon-hole'}),
        ([OUTER, INNER, ISLAND], HOLE + 32, {'polygon-hole'}),
        ([OUTER, INNER], 16 * 28, {'polygon-hole'}),
        ([OUTER, INNER], 16 * 28 + 8 * 20, {'polygon-hole', 'area-mismatch'}),
        ([rectangle(10, 10, 16, 20), rectangle(10, 18, 16, 20)], 16 * 28, set()),
        ([rectangle(10, 10, 16, 20), rectangle(10, 18, 16, 20)], 2 * 16 * 20, {'area-mismatch'}),
        ([OUTER, OUTER], 16 * 28, set()),
        ([OUTER, OUTER], 2 * 16 * 28, {'area-mismatch'}),
        ([rectangle(10, 10, 16, 10), rectangle(10, 28, 16, 10)], 2 * 16 * 10, set()),
    ],
)
def test_areas_and_holes_are_told(segmentation, area, found):
    assert codes(data_set(segmentation, area)) == found


@pytest.mark.parametrize('island', [[], [ISLAND]])
def test_a_hole_that_the_area_shows_is_cut_out(island):
    area = HOLE + 32 * len(island)
    coco = data_set([OUTER, INNER, *island], area)
    fixed, done = repair(coco, CLASSES)
    assert done == ['4 annotations: polygons that are holes by their "area" cut out, as RLE; ids: 1, 2, 3, 4']
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[10:38, 10:26] = True
    expected[14:34, 14:22] = False
    if island:
        expected[18:26, 16:20] = True
    for annotation in fixed['annotations']:
        assert annotation['area'] == area
        np.testing.assert_array_equal(mask_utils.decode(annotation['segmentation']), expected)
    assert codes(fixed) == set()


def test_repaired_areas_are_those_of_the_union():
    fixed, _ = repair(data_set([rectangle(10, 10, 16, 20), rectangle(10, 18, 16, 20)], 640), CLASSES)
    assert {a['area'] for a in fixed['annotations']} == {16 * 28}
    whole = data_set([OUTER, INNER], 16 * 28)
    assert repair(whole, CLASSES) == (whole, [])  # nothing shows that the inner polygon is a hole


def test_the_mask_with_its_hole():
    mask = hole_mask([OUTER, INNER], HOLE, WIDTH, HEIGHT)
    assert mask.shape == (HEIGHT, WIDTH) and mask.sum() == HOLE and not mask[20, 18] and mask[11, 11]
    assert hole_mask([OUTER, INNER], 16 * 28, WIDTH, HEIGHT) is None
    assert hole_mask([OUTER, INNER], None, WIDTH, HEIGHT) is None and hole_mask([OUTER], 1, WIDTH, HEIGHT) is None
