"""NMS and soft-NMS of the stand-in, called through mmcv, against loops that are written out here."""

import math

import pytest
import torch
from mmcv.ops import batched_nms, nms, soft_nms
from torch import Tensor


def overlap(a: list[float], b: list[float], offset: int) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def random_boxes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 30
    size = torch.rand(count, 2, generator=generator) * torch.tensor([25.0, 12.0]) + 1
    return torch.cat((low, low + size), dim=1), torch.rand(count, generator=generator)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.2, 0.5])
def test_nms_against_a_loop(offset: int, threshold: float) -> None:
    boxes, scores = random_boxes(80, seed=offset)
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[i].tolist(), boxes[j].tolist(), offset) <= threshold for j in kept):
            kept.append(i)
    dets, indices = nms(boxes, scores, threshold, offset=offset)
    assert 1 < len(kept) < 80
    assert indices.tolist() == kept
    torch.testing.assert_close(dets, torch.cat((boxes, scores[:, None]), dim=1)[kept])


def test_the_offset_changes_what_is_kept() -> None:
    # 2 of 4 pixels shared: IoU 1/3 with closed pixels, 0 without.
    boxes, scores = torch.tensor([[0.0, 0, 2, 0], [1, 0, 3, 0]]), torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.45, offset=1)[1].tolist() == [0]
    assert nms(boxes, scores, 0.55, offset=1)[1].tolist() == [0, 1]


def test_nms_without_boxes_and_in_half_precision() -> None:
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1].tolist() == []
    boxes, scores = torch.tensor([[0.0, 0, 8, 8], [1, 0, 8, 8], [10, 0, 18, 8]]), torch.tensor([0.5, 0.75, 0.25])
    for dtype in (torch.float16, torch.bfloat16):
        assert nms(boxes.to(dtype), scores.to(dtype), 0.5)[1].tolist() == [1, 2]


def test_nms_after_a_score_threshold_and_a_limit() -> None:
    boxes, scores = torch.tensor([[0.0, 0, 4, 4], [10, 0, 14, 4], [20, 0, 24, 4]]), torch.tensor([0.1, 0.6, 0.9])
    assert nms(boxes, scores, 0.5, score_threshold=0.3)[1].tolist() == [2, 1]
    assert nms(boxes, scores, 0.5, max_num=1)[1].tolist() == [2]


def test_batched_nms_keeps_classes_apart() -> None:
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 7], [0, 0, 8, 8]])
    scores, classes = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1])
    assert batched_nms(boxes, scores, classes, {'type': 'nms', 'iou_threshold': 0.5})[1].tolist() == [0, 2]


def slow_soft_nms(
    boxes: Tensor, scores: Tensor, threshold: float, sigma: float, min_score: float, method: str, offset: int
) -> list[tuple[int, float]]:
    left = dict(enumerate(scores.tolist()))
    kept = []
    while left:
        best = max(left, key=lambda i: left[i])
        kept.append((best, left.pop(best)))
        for i in list(left):
            iou = overlap(boxes[best].tolist(), boxes[i].tolist(), offset)
            if method == 'gaussian':
                left[i] *= math.exp(-(iou**2) / sigma)
            elif iou >= threshold:
                left[i] *= 1 - iou if method == 'linear' else 0
            if left[i] < min_score:
                del left[i]
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_against_a_loop(method: str, offset: int) -> None:
    boxes, scores = random_boxes(60, seed=7)
    settings = {'sigma': 0.4, 'min_score': 0.05, 'method': method, 'offset': offset}
    expected = slow_soft_nms(boxes.double(), scores.double(), 0.3, **settings)
    dets, indices = soft_nms(boxes, scores, 0.3, **settings)
    assert 1 < len(expected) < 60
    assert indices.tolist() == [i for i, _ in expected]
    torch.testing.assert_close(dets[:, :4], boxes[indices])
    torch.testing.assert_close(dets[:, 4].tolist(), [score for _, score in expected], rtol=1e-5, atol=1e-6)
    changed = [abs(score - scores[i].item()) > 1e-3 for i, score in expected]
    assert any(changed) == (method != 'naive')


def test_soft_nms_on_mmcvs_own_example() -> None:
    """Boxes without area; mmcv's documentation says that five of six are kept."""
    boxes = torch.tensor([[4.0, 3, 5, 3], [4, 3, 5, 4], [3, 1, 3, 1], [3, 1, 3, 1], [3, 1, 3, 1], [3, 1, 3, 1]])
    scores = torch.tensor([0.9, 0.9, 0.5, 0.5, 0.4, 0.0])
    dets, indices = soft_nms(boxes, scores, 0.6, sigma=0.5)
    assert indices.tolist() == [0, 1, 2, 3, 4]
    assert dets.shape == (5, 5)


def test_soft_nms_without_boxes() -> None:
    dets, indices = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5)
    assert indices.dtype == torch.int64
    assert len(indices) == 0
