"""What kind of pixels an image holds."""

from mmdet_ir.datasets.images.files import grey_levels, is_eight_bit

import numpy as np


def test_eight_bit_in_disguise():
    levels = np.arange(256).reshape(16, 16)
    for factor, expected in ((1, True), (256, True), (257, True), (2, False), (250, False)):
        assert is_eight_bit((levels * factor).astype(np.uint16)) is expected
    assert is_eight_bit(levels.astype(np.uint8))
    assert not is_eight_bit((levels + 7000).astype(np.uint16))
    assert not is_eight_bit(levels.astype(np.float32))


def test_grey_levels():
    counts = np.full((100, 100), 7000, np.uint16)
    counts[:, 50:] = 7200
    counts[0, 0], counts[0, 1] = 0, 16383  # dead pixels do not count
    grey = grey_levels(counts)
    assert (grey[5, 5], grey[5, 95]) == (0, 255)
    colour = np.zeros((4, 5, 3), np.uint8) + np.array([30, 60, 90], np.uint8)
    assert grey_levels(colour)[0, 0] == 60 and grey_levels(colour).shape == (4, 5)
