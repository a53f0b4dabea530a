"""Masks as annotation files have them, and what becomes of them."""

import json
import math

from mmdet_ir.datasets.converters.masks import decode_rle, is_numbers, polygons_fault, to_segmentation
from mmdet_ir.datasets.converters.values import as_flag, is_number

import cv2
import numpy as np
import pytest
import shapely
from pycocotools import mask as mask_utils


def random_mask(seed: int, height: int = 13, width: int = 17) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.random((5, 6)), (width, height)) > 0.55


def uncompressed(mask: np.ndarray) -> dict:
    """RLE run by run."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return {'size': list(mask.shape), 'counts': runs}


@pytest.mark.parametrize('seed', range(8))
def test_rle_as_pycocotools_reads_it(seed):
    mask = random_mask(seed)
    mask[0, 0] = seed % 2  # both beginnings
    compressed = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    text = {'size': compressed['size'], 'counts': compressed['counts'].decode()}
    for rle in (uncompressed(mask), compressed, text):
        np.testing.assert_array_equal(decode_rle(rle, 17, 13), mask)
    assert mask_utils.decode(mask_utils.frPyObjects(uncompressed(mask), 13, 17)).sum() == mask.sum()


@pytest.mark.parametrize(
    ('rle', 'message'),
    [
        ({'size': [4, 5], 'counts': [3, 4]}, 'do not add up'),
        ({'size': [4, 5], 'counts': [3, 18]}, 'do not add up'),
        ({'size': [4, 5], 'counts': [25, -5]}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': [3.5, 16.5]}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': ['20']}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': [True, 19]}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': []}, 'are damaged'),
        ({'size': [4, 5], 'counts': None}, 'are damaged'),
        ({'size': [4, 5]}, 'are damaged'),
        ({'size': [5, 4], 'counts': [20]}, 'another size'),
        ({'counts': [20]}, 'another size'),
        ({'size': [4, 5], 'counts': ''}, 'are damaged'),
        ({'size': [4, 5], 'counts': '0'}, 'do not add up'),  # pycocotools returns memory as it finds it
        ({'size': [4, 5], 'counts': 'ooooooooooooooo'}, 'damaged'),
        ({'size': [4, 5], 'counts': 'P'}, 'damaged'),
        ({'size': [4, 5], 'counts': 'd\x80'}, 'damaged'),
    ],
)
def test_invalid_rle(rle, message):
    with pytest.raises(ValueError, match=message):
        decode_rle(rle, 5, 4)


def decode(segmentation, height: int, width: int) -> np.ndarray:
    rle = (
        segmentation
        if isinstance(segmentation, dict)
        else mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    )
    return mask_utils.decode(rle).astype(bool)


def test_mask_without_and_with_a_hole():
    mask = np.zeros((13, 17), bool)
    mask[2:8, 3:9] = True
    mask[10:12, 12:16] = True
    whole = to_segmentation(mask, 17, 13, False)
    assert len(whole.segmentation) == 2 and whole.area == 36 + 8 and whole.box == [3, 2, 13, 10]
    np.testing.assert_array_equal(decode(whole.segmentation, 13, 17), mask)
    mask[4:6, 5:7] = False
    ring = to_segmentation(mask, 17, 13, False)
    assert isinstance(ring.segmentation, dict) and ring.area == 32 + 8
    np.testing.assert_array_equal(decode(json.loads(json.dumps(ring.segmentation)), 13, 17), mask)
    assert to_segmentation(mask, 17, 13, True)[:2] == whole[:2]
    with pytest.raises(ValueError, match='mask without a pixel'):
        to_segmentation(np.zeros((13, 17), bool), 17, 13, False)


def test_polygons_inside_stay_and_those_outside_are_cut():
    inside = [[10.25, 5.0, 20.0, 5.0, 20.0, 25.5]]
    kept = to_segmentation(inside, 60, 40, False)
    assert kept.segmentation is inside and kept.box == [10.25, 5, 9.75, 20.5]
    assert kept.area == pytest.approx(shapely.Polygon(np.reshape(inside[0], (-1, 2))).area, abs=15)
    # A diamond about a corner of the image, of which a quarter is inside; clamped points would give a square.
    cut = to_segmentation([[60, 20, 80, 40, 60, 60, 40, 40]], 60, 40, False)
    truth = shapely.Polygon([(60, 20), (80, 40), (60, 60), (40, 40)]) & shapely.box(0, 0, 60, 40)
    assert truth.area == 200 and cut.area == pytest.approx(200, abs=12)
    assert cut.box == pytest.approx([40, 20, 20, 20], abs=1)
    for polygon, message in (
        ([70, 5, 80, 5, 80, 9], 'without a pixel'),
        ([5, 5, 1e9, 5, 5, 9], 'leaves the image by more than its size'),
        ([5, 5, 9, 5, -61, 9], 'leaves the image by more than its size'),
        ([5.1, 5.1, 5.2, 5.1, 5.2, 5.2], 'without a pixel'),
    ):
        with pytest.raises(ValueError, match=message):
            to_segmentation([polygon], 60, 40, False)


@pytest.mark.parametrize(
    ('polygons', 'fault'),
    [
        ([], 'no polygon'),
        ('text', 'no polygon'),
        ([[1, 2, 3, 4]], 'polygon with fewer than 3 points'),
        ([[1, 2, 3, 4, 5, 6], []], 'polygon with fewer than 3 points'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'polygon with an odd number of coordinates'),
        ([[1, 2, 3, 4, 5, math.nan]], 'polygon that is not a list of finite numbers'),
        ([[1, 2, 3, 4, 5, '6']], 'polygon that is not a list of finite numbers'),
        ([1, 2, 3, 4, 5, 6], 'polygon that is not a list of finite numbers'),
        ([[1, 2, 3, 4, 5, 6]], ''),
    ],
)
def test_polygon_faults(polygons, fault):
    assert polygons_fault(polygons) == fault


@pytest.mark.parametrize(
    ('values', 'flag'),
    [
        ((1, True, 1.0, '1', ' 1 ', '1.0', 'true', 'True', 'YES'), True),
        ((0, False, 0.0, '0', '', None, 'false', 'FALSE', 'no', 'Unspecified'), False),
        ((2, -1, '2', 'maybe', [1], {}, math.nan, 0.5), None),
    ],
)
def test_flags_as_programs_write_them(values, flag):
    for value in values:
        if flag is None:
            with pytest.raises(ValueError, match='^iscrowd that is neither 0 nor 1$'):
                as_flag(value, 'iscrowd')
        else:
            assert as_flag(value, 'iscrowd') is flag


@pytest.mark.parametrize(
    ('value', 'expected'),
    [(10**400, False), (-(10**400), False), (10**300, True), (1.5, True), (math.inf, False), (math.nan, False)]
    + [(True, False), ('1', False), (None, False)],
)
def test_numbers(value, expected):
    assert is_number(value) is expected
    assert is_numbers([1, value]) is expected
