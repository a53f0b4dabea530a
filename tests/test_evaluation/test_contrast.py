import math

from mmdet_ir.evaluation.contrast import signal_to_clutter

import numpy as np
import pytest
from mask_scenes import rectangle
from scipy.ndimage import binary_dilation


def one(image, mask, targets=None, width=3):
    targets = mask if targets is None else targets
    return signal_to_clutter(image, mask[None], targets, width)[0]


def checkerboard(shape, low, high):
    rows, columns = np.indices(shape)
    return np.where((rows + columns) % 2, low, high)


def test_hand_derived():
    shape = (40, 50)
    image = checkerboard(shape, 98, 102)  # mean 100, deviation 2
    mask = rectangle(shape, 20, 15, 4, 4)
    image[mask] = 115
    assert one(image, mask) == pytest.approx(7.5)
    image[mask] = 85  # colder than its surroundings counts alike
    assert one(image, mask) == pytest.approx(7.5)
    assert signal_to_clutter(image, mask[None], mask, 3, signed=True)[0] == pytest.approx(-7.5)
    image[0] = 10_000  # beyond the ring
    assert one(image, mask) == pytest.approx(7.5)


def test_equals_a_slow_reference():
    rng = np.random.default_rng(0)
    shape = (60, 70)
    image = rng.normal(7000, 40, shape).astype(np.float32)
    masks = np.stack(
        [
            rectangle(shape, 0, 0, 7, 5),  # in a corner
            rectangle(shape, 66, 20, 4, 30),  # at an edge
            rectangle(shape, 20, 20, 9, 9) & ~rectangle(shape, 23, 23, 3, 3),  # with a hole
            rectangle(shape, 30, 24, 6, 6),  # a neighbour
            rng.random(shape) < 0.01,  # in pieces
        ]
    )
    targets = masks[:4].any(axis=0)
    expected = []
    for mask in masks:
        ring = binary_dilation(mask, np.ones((3, 3)), iterations=6) & ~mask & ~targets
        expected.append(
            abs(image[mask].mean(dtype=float) - image[ring].mean(dtype=float)) / image[ring].std(dtype=float)
        )
    np.testing.assert_allclose(signal_to_clutter(image, masks, targets, 6), expected, rtol=1e-9)


def test_neighbouring_targets_are_no_clutter():
    shape = (40, 50)
    image = checkerboard(shape, 98, 102)
    mask, neighbour = rectangle(shape, 20, 15, 4, 4), rectangle(shape, 24, 15, 4, 4)
    image[mask] = 115
    image[neighbour] = 250
    assert one(image, mask, mask | neighbour) == pytest.approx(7.5, rel=0.01)
    assert one(image, mask) < 2


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_does_not_change_with_gain_and_offset(dtype):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 100, (40, 50))
    mask = rectangle(image.shape, 10, 10, 5, 8)
    assert one((2 * image + 17).astype(dtype), mask) == pytest.approx(one(image, mask))


def test_where_it_is_not_a_number():
    shape = (20, 20)
    image, mask = np.full(shape, 50, np.uint8), rectangle(shape, 5, 5, 4, 4)
    assert one(image, mask) == 0
    image[mask] = 51
    assert one(image, mask) == math.inf
    assert signal_to_clutter(100 - image, mask[None], mask, 3, signed=True)[0] == -math.inf
    assert math.isnan(one(image, np.zeros(shape, bool)))
    assert math.isnan(one(image, np.ones(shape, bool)))  # no surroundings
    assert math.isnan(one(image, mask, targets=np.ones(shape, bool)))
    assert signal_to_clutter(image, np.zeros((0, *shape), bool), mask).shape == (0,)
