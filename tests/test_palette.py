"""Colours of classes: given ones stay, further ones can be told apart."""

from itertools import combinations

from mmdet_ir.datasets import IRDataset
from mmdet_ir.palette import palette_for
from mmdet_ir.visualization.colors import class_colors

import numpy as np
import pytest
from skimage.color import deltaE_cie76, rgb2lab

FOUR = [(230, 60, 70), (60, 160, 250), (90, 210, 110), (250, 190, 50)]


def closest(colors: np.ndarray) -> float:
    """The smallest difference of two colours; about 2.3 can just be noticed."""
    lab = rgb2lab(np.asarray(colors, float)[None] / 255)[0]
    return min(deltaE_cie76(one, other) for one, other in combinations(lab, 2))


@pytest.mark.parametrize(('number', 'apart'), [(5, 30), (10, 30), (20, 25), (80, 15)])
def test_colours_beyond_the_given_ones_can_be_told_apart(number: int, apart: float) -> None:
    colors = palette_for(number, FOUR)
    assert colors[:4] == FOUR and len(colors) == number
    assert closest(np.array([*colors, (0, 0, 0), (128, 128, 128), (255, 255, 255)])) > apart
    assert closest(255 * class_colors(number)) > min(apart, 20)
    assert palette_for(number + 1, FOUR)[:number] == colors  # a new class at the end changes no colour


def test_other_forms_of_a_palette() -> None:
    assert palette_for(2, FOUR) == FOUR[:2]
    assert palette_for(2, np.array(FOUR).tolist()) == FOUR[:2]
    assert palette_for(2, tuple(FOUR)) == FOUR[:2]
    assert palette_for(3, (1, 2, 3)) == [(1, 2, 3)] * 3
    assert len(palette_for(90, 'coco')) == 90
    assert len({*palette_for(300)}) == 300


def test_a_data_set_of_other_classes_has_a_colour_for_each() -> None:
    names = [f'class {i}' for i in range(10)]
    meta = IRDataset(metainfo={'classes': names}, lazy_init=True).metainfo
    assert meta['palette'][:4] == FOUR and closest(meta['palette']) > 30
    assert IRDataset(lazy_init=True).metainfo['palette'] == FOUR


@pytest.mark.parametrize(
    ('metainfo', 'message'),
    [
        ({'classes': 'ship'}, r"got the text 'ship'; a single class needs a comma: classes=\('ship',\)"),
        ({'CLASSES': ('ship',)}, r"expected the keys \('classes', 'palette'\) in lower case, got \['CLASSES'\]"),
        ({'classes': ('ship', 'ship')}, 'each of them once'),
        ({'classes': ()}, 'one name or more'),
    ],
)
def test_classes_that_are_no_list_of_names_are_told(metainfo: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IRDataset(metainfo=metainfo, lazy_init=True)
