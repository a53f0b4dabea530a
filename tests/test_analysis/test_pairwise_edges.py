"""Counts of pairs by hand."""

import mmdet_ir  # noqa: F401
from mmdet_ir.analysis.pairwise_edges import EdgeCounts, change_contrast

import torch


def test_counts_of_a_corner_target() -> None:
    """4x4 cells, the box is their upper left 2x2, the mask its upper left cell; neighbours are one cell apart.

    The cells of the box have 3, 5, 5 and 8 neighbours, 21 pairs. The corner's own 3 pairs cross the outline, and so
    does one pair of each other cell: 15 have the same label.
    """
    boxes, masks = torch.zeros(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    boxes[0, :2, :2] = True
    masks[0, 0, 0] = True
    edges = torch.zeros(1, 8, 4, 4, dtype=torch.bool)
    edges[0, 4] = True  # each cell with the one to its right: 4 pairs of the box, of which the corner's is wrong
    edges[0, 0, 0, 0] = True  # out of the image
    counts = EdgeCounts()
    counts.add(edges, boxes, masks, dilation=1)
    assert (counts.pairs, counts.same, counts.selected, counts.right) == (21, 15, 4, 3)
    assert counts.precision == 0.75 and counts.recall == 0.2
    counts.add(edges, boxes, masks, dilation=1)
    assert counts.pairs == 42 and counts.recall == 0.2


def test_contrast_changes_about_the_mean() -> None:
    image = torch.tensor([[[90, 100, 110]]], dtype=torch.uint8)
    assert change_contrast(image, 0.5).tolist() == [[[95, 100, 105]]]
    assert change_contrast(image, 20.0).tolist() == [[[0, 100, 255]]]
