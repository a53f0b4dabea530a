import math

from mmdet_ir.datasets.derived_masks import (
    LOOSE,
    box_corners,
    derive_box_mask,
    derive_threshold_mask,
    outline_polygons,
)

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as mask_utils
from scipy import ndimage


def rasterise(polygons: list, shape: tuple) -> np.ndarray:
    return mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(polygons, *shape))).astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize('angle', [0.0, 0.3, 1.2, 2.9])
def test_corners_agree_with_opencv(angle):
    corners = box_corners(20.5, 31.0, 12.0, 7.0, angle)
    expected = cv2.boxPoints(((20.5, 31.0), (12.0, 7.0), math.degrees(angle)))
    key = np.lexsort(corners.round(3).T), np.lexsort(expected.round(3).T)
    np.testing.assert_allclose(corners[key[0]], expected[key[1]], atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 14))))
def test_outlines_give_back_the_mask(mask):
    labels, count = ndimage.label(mask)  # 4-connected
    expected = np.zeros_like(mask)
    for label in range(1, count + 1):
        expected |= ndimage.binary_fill_holes(labels == label)
    polygons = outline_polygons(mask)
    assert len(polygons) == count
    assert all(len(polygon) >= 8 for polygon in polygons)
    if count:
        np.testing.assert_array_equal(rasterise(polygons, mask.shape), expected)


def test_outline_of_a_pixel_is_its_square():
    mask = np.zeros((5, 6), bool)
    mask[2, 3] = True
    corners = np.reshape(outline_polygons(mask)[0], (-1, 2))
    assert {tuple(c) for c in corners} == {(3, 2), (4, 2), (4, 3), (3, 3)}


SHAPE = (80, 90)
CENTRE = (40.0, 30.0)
SIZE = (16.0, 28.0)  # width, height of the target, an ellipse
BBOX = (CENTRE[0] - SIZE[0] / 2, CENTRE[1] - SIZE[1] / 2, *SIZE)


def ellipse_truth() -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    return ((columns - CENTRE[0]) / (SIZE[0] / 2)) ** 2 + ((rows - CENTRE[1]) / (SIZE[1] / 2)) ** 2 <= 1


def scene(contrast: float, gradient: float = 0.0, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = 110 + gradient * (columns + rows - 75) + contrast * ellipse_truth() + noise * rng.normal(size=SHAPE)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize('contrast', [60, -60, 15, -15])
@pytest.mark.parametrize('gradient', [0.0, 0.5])
def test_threshold_finds_hot_and_cold_targets(contrast, gradient):
    mask = derive_threshold_mask(scene(contrast, gradient), box_corners(*CENTRE, *SIZE), BBOX)
    assert mask.method == 'threshold'
    found = rasterise(mask.polygons, SHAPE)
    assert iou(found, ellipse_truth()) > 0.95
    assert mask.area == found.sum()


@pytest.mark.parametrize('contrast', [60, -60])
def test_threshold_finds_a_small_target_in_a_loose_box(contrast):
    corners = box_corners(*CENTRE, *(3 * s for s in SIZE))
    bbox = tuple(np.concatenate([corners[0], corners[2] - corners[0]]))
    mask = derive_threshold_mask(scene(contrast), corners, bbox, fit=LOOSE)
    assert mask.method == 'threshold'
    assert iou(rasterise(mask.polygons, SHAPE), ellipse_truth()) > 0.95


def test_hot_neighbours_do_not_turn_the_polarity():
    image = scene(-40)
    image[:, 60:] = 255
    occupied = np.zeros(SHAPE, bool)
    occupied[:, 60:] = True
    mask = derive_threshold_mask(image, box_corners(*CENTRE, *SIZE), BBOX, occupied)
    assert mask.method == 'threshold'
    assert iou(rasterise(mask.polygons, SHAPE), ellipse_truth()) > 0.95


def test_mask_is_cut_to_oriented_box_and_bbox():
    """A hot wall through the box: what lies outside the box does not belong to the target."""
    image = scene(0)
    image[:, 36:44] = 200
    corners = box_corners(*CENTRE, 12, 24, 0.4)
    (x0, y0), (x1, y1) = corners.min(axis=0).round(), corners.max(axis=0).round()
    mask = derive_threshold_mask(image, corners, (x0, y0, x1 - x0, y1 - y0))
    rows, columns = np.nonzero(rasterise(mask.polygons, SHAPE))
    for x, y in zip(columns + 0.5, rows + 0.5, strict=True):
        assert cv2.pointPolygonTest(corners.astype(np.float32), (float(x), float(y)), True) > -0.01
        assert x0 < x < x1 and y0 < y < y1


@pytest.mark.parametrize('angle', [0.0, 0.5])
def test_no_contrast_gives_the_inscribed_ellipse(angle):
    corners = box_corners(*CENTRE, 20, 30, angle)
    (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    mask = derive_threshold_mask(scene(0), corners, (x0, y0, x1 - x0, y1 - y0))
    assert mask.method == 'ellipse'
    assert mask.area == pytest.approx(math.pi / 4 * 20 * 30, rel=0.03)
    moments = cv2.moments(rasterise(mask.polygons, SHAPE).astype(np.uint8), binaryImage=True)
    assert moments['m10'] / moments['m00'] + 0.5 == pytest.approx(CENTRE[0], abs=0.3)
    assert moments['m01'] / moments['m00'] + 0.5 == pytest.approx(CENTRE[1], abs=0.3)
    # Direction of the long axis against the y axis, from second moments.
    direction = 0.5 * math.atan2(2 * moments['mu11'], moments['mu20'] - moments['mu02'])
    assert abs(math.sin(direction - (angle + math.pi / 2))) < 0.05


def test_oriented_box_of_known_area():
    corners = box_corners(40, 40, 30, 20, 0.5)
    mask = derive_box_mask(corners, (10, 10, 60, 60), SHAPE)
    assert mask.method == 'oriented_box'
    assert mask.area == pytest.approx(600, rel=0.03)


def test_oriented_box_is_cut_to_the_bbox():
    mask = derive_box_mask(box_corners(10, 10, 40, 10), (0, 5, 20, 10), SHAPE)
    assert mask.area == 200
    points = np.reshape(mask.polygons[0], (-1, 2))
    assert points.min(axis=0).tolist() == [0, 5] and points.max(axis=0).tolist() == [20, 15]


def test_nothing_inside_the_bbox_is_none():
    assert derive_box_mask(box_corners(70, 70, 5, 5), (0, 0, 20, 20), SHAPE) is None
    assert derive_threshold_mask(scene(0), box_corners(70, 70, 5, 5), (0, 0, 20, 20)) is None
