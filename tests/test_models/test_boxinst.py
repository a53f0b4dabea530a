"""BoxInst's pairwise supervision in infrared, against loops over cells and values by hand."""

import math

import mmdet_ir  # noqa: F401
from mmdet_ir.models.boxinst import InfraredBoxInstDataPreprocessor, pairwise_edges

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

BOXES = torch.tensor([[9.0, 6.0, 30.0, 25.0], [33.3, 17.8, 47.9, 39.5], [0.0, 0.0, 5.0, 5.0]])


def slow_edges(
    intensity: np.ndarray, valid: np.ndarray, box: list[float], stride: int, dilation: int, threshold: float
) -> np.ndarray:
    """Edges of one box for a 3x3 neighbourhood, cell by cell."""
    height, width = intensity.shape
    x1, y1, x2, y2 = box
    around = []
    for i in range(height):
        for j in range(width):
            y, x = i * stride + stride // 2, j * stride + stride // 2
            if valid[i, j] and x1 - stride <= x <= x2 + stride and y1 - stride <= y <= y2 + stride:
                around.append(float(intensity[i, j]))
    spread = float(np.std(around))
    offsets = [(dy, dx) for dy in (-dilation, 0, dilation) for dx in (-dilation, 0, dilation) if (dy, dx) != (0, 0)]
    edges = np.zeros((8, height, width), bool)
    for n, (dy, dx) in enumerate(offsets):
        for i in range(height):
            for j in range(width):
                if 0 <= i + dy < height and 0 <= j + dx < width and valid[i, j] and valid[i + dy, j + dx]:
                    gap = abs(float(intensity[i, j]) - float(intensity[i + dy, j + dx]))
                    edges[n, i, j] = math.exp(-gap / spread) >= threshold
    return edges


@pytest.mark.parametrize(('stride', 'dilation'), [(4, 2), (2, 1)])
def test_edges_equal_a_loop_over_cells(stride: int, dilation: int) -> None:
    intensity = torch.randn(11, 13, generator=torch.Generator().manual_seed(stride)).cumsum(1)
    valid = torch.ones(11, 13, dtype=torch.bool)
    valid[:, 11:] = False
    boxes = BOXES * stride / 4
    got = pairwise_edges(intensity, valid, boxes, stride, 3, dilation, threshold=0.7)
    expected = [slow_edges(intensity.numpy(), valid.numpy(), b, stride, dilation, 0.7) for b in boxes.tolist()]
    assert np.array_equal(got.numpy(), np.stack(expected))
    assert 0.1 < got.float().mean() < 0.9


def test_no_boxes_no_edges() -> None:
    edges = pairwise_edges(torch.rand(4, 5), torch.ones(4, 5, dtype=torch.bool), torch.zeros(0, 4), 4, 3, 2, 0.7)
    assert edges.shape == (0, 8, 4, 5)


@pytest.mark.parametrize(('gain', 'offset'), [(0.01, 0.0), (40.0, 7.0), (-1.0, 255.0)])
def test_gain_offset_and_polarity_do_not_matter(gain: float, offset: float) -> None:
    intensity = torch.rand(12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 200
    valid = torch.ones(12, 12, dtype=torch.bool)
    edges = [pairwise_edges(i, valid, BOXES, 4, 3, 2, 0.7) for i in (intensity, gain * intensity + offset)]
    assert torch.equal(*edges)


def test_a_plain_target_is_told_from_its_surroundings_whatever_its_contrast() -> None:
    """Half the region is at 1, half at 0: s = 0.5. Across the edge similarity is exp(-2) = 0.14, inside it is 1."""
    intensity = torch.zeros(8, 8)
    intensity[:, 4:] = 0.001
    edges = pairwise_edges(
        intensity, torch.ones(8, 8, dtype=torch.bool), torch.tensor([[4.0, 4.0, 27.0, 27.0]]), 4, 3, 1, 0.15
    )[0]
    to_the_right = 4
    assert not edges[to_the_right, :, 3].any()
    assert edges[to_the_right, :, :3].all() and edges[to_the_right, :, 4:7].all()
    assert not edges[to_the_right, :, 7].any()  # there is nothing beyond the image
    loose = pairwise_edges(
        intensity, torch.ones(8, 8, dtype=torch.bool), torch.tensor([[4.0, 4, 27, 27]]), 4, 3, 1, 0.13
    )
    assert loose[0, to_the_right, :, 3].all()


def test_preprocessor_fills_the_boxes_and_leaves_padding_out() -> None:
    shapes = [(48, 64), (64, 40)]
    samples = []
    for shape, boxes in zip(shapes, (BOXES, BOXES[:0]), strict=True):
        sample = DetDataSample(metainfo={'img_shape': shape})
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
        samples.append(sample)
    images = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8) for shape in shapes]
    preprocessor = InfraredBoxInstDataPreprocessor(mean=[100.0] * 3, std=[50.0] * 3, pad_size_divisor=32)
    data = preprocessor({'inputs': images, 'data_samples': samples}, training=True)
    first, second = (sample.gt_instances for sample in data['data_samples'])
    assert data['inputs'].shape == (2, 3, 64, 64)

    expected = np.zeros((3, 64, 64), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(expected, BOXES.tolist(), strict=True):
        mask[int(y1) : int(y2 + 1), int(x1) : int(x2 + 1)] = 1
    assert np.array_equal(first.masks.masks, expected)
    assert first.pairwise_masks[:, :, 12:].sum() == 0 and first.pairwise_masks[:, :, :12].sum() > 0
    assert second.masks.masks.shape == (0, 64, 64) and second.pairwise_masks.shape == (0, 8, 16, 16)

    grey = images[0].float().mean(0)
    cells = grey.reshape(12, 4, 16, 4).mean((1, 3)).numpy()
    slow = slow_edges(cells, np.ones((12, 16), bool), BOXES[1].tolist(), 4, 2, 0.7)
    assert (first.pairwise_masks[1, :, :12].numpy() == slow).mean() > 0.999  # up to rounding at the threshold


@pytest.mark.parametrize('threshold', [0.0, 1.0])
def test_a_threshold_that_selects_all_or_nothing_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match='pairwise_thresh'):
        InfraredBoxInstDataPreprocessor(pairwise_thresh=threshold)
