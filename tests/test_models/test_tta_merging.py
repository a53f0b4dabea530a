"""What test-time augmentation merges, piece by piece."""

from mmdet_ir.models.test_time_augs.tta import (
    average_shape,
    from_view,
    group_instances,
    merge_boxes,
    merge_instances,
    to_view,
)

import numpy as np
import pytest
import torch
import torchvision
from mmengine.structures import InstanceData

ALL_FLIPS = ('horizontal', 'vertical', 'diagonal')


def test_merged_boxes_are_those_of_torchvision() -> None:
    rng = torch.Generator().manual_seed(0)
    views = []
    for _ in range(3):
        corner = torch.rand(40, 2, generator=rng) * torch.tensor([100.0, 60.0])
        boxes = torch.cat([corner, corner + 10 + 40 * torch.rand(40, 2, generator=rng)], dim=1)
        labels, scores = torch.randint(0, 3, (40,), generator=rng), torch.rand(40, generator=rng)
        views.append(InstanceData(bboxes=boxes, scores=scores, labels=labels))
    boxes, scores, labels = (torch.cat([view[key] for view in views]) for key in ('bboxes', 'scores', 'labels'))
    kept = torchvision.ops.batched_nms(boxes, scores, labels, 0.3)
    assert 20 < len(kept) < 120
    # the score of each: what the three views say, one box at a time
    overlaps = torchvision.ops.box_iou(boxes, boxes)
    expected = []
    for i in kept.tolist():
        best = [0.0, 0.0, 0.0]
        for j in range(120):
            if labels[i] == labels[j] and overlaps[i, j] >= 0.3:
                best[j // 40] = max(best[j // 40], scores[j].item())
        expected.append(sum(best) / 3)
    order = np.argsort(np.negative(expected), kind='stable')[:20]
    merged = merge_boxes(views, nms={'type': 'nms', 'iou_threshold': 0.3}, max_per_img=20)
    torch.testing.assert_close(merged.bboxes, boxes[kept][order])
    torch.testing.assert_close(merged.scores, torch.tensor(expected)[order])
    assert torch.equal(merged.labels, labels[kept][order])


def test_a_view_that_misses_an_instance_lowers_its_score() -> None:
    def view(score: float, x: float) -> InstanceData:
        box = torch.tensor([[x, 2.0, x + 4, 6.0]])
        mask = torch.zeros(1, 8, 20, dtype=torch.bool)
        mask[0, 2:6, int(x) : int(x) + 4] = True
        return InstanceData(bboxes=box, scores=torch.tensor([score]), labels=torch.tensor([1]), masks=mask)

    views = [view(0.8, 3), view(0.9, 3), view(0.6, 12), view(0.4, 4)]
    views[3].labels[0] = 2  # another class, where the first two views see theirs
    settings = {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 9}
    for merged in (merge_boxes(views, **settings), merge_instances(views, **settings)):
        torch.testing.assert_close(merged.scores, torch.tensor([(0.8 + 0.9) / 4, 0.6 / 4, 0.4 / 4]))
        assert merged.bboxes[:, 0].tolist() == [3, 12, 4]
        assert merged.labels.tolist() == [1, 1, 2]


@pytest.mark.parametrize('direction', [None, *ALL_FLIPS])
def test_mapping_a_box_by_hand(direction: str | None) -> None:
    meta = {
        'ori_shape': (31, 43),
        'scale_factor': (2.0, 3.0),
        'flip': direction is not None,
        'flip_direction': direction,
    }
    x1, x2 = (43 - 9, 43 - 4) if direction in ('horizontal', 'diagonal') else (4, 9)
    y1, y2 = (31 - 8, 31 - 5) if direction in ('vertical', 'diagonal') else (5, 8)
    box, seen = torch.tensor([[4.0, 5, 9, 8]]), torch.tensor([[2.0 * x1, 3.0 * y1, 2.0 * x2, 3.0 * y2]])
    torch.testing.assert_close(to_view(box, meta), seen)
    torch.testing.assert_close(from_view(seen, meta), box)


def test_average_shape_against_distances_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    blobs = np.zeros((3, 14, 17), dtype=bool)
    for blob in blobs:
        y, x = rng.integers(1, 5, 2)
        blob[y : y + 8, x : x + 9] = rng.random((8, 9)) < 0.9
    pixels = np.stack(np.meshgrid(np.arange(-1, 15), np.arange(-1, 18), indexing='ij'), axis=-1).reshape(-1, 2)
    total = 0
    for blob in blobs:
        inside = np.pad(blob, 1).reshape(-1)
        distances = np.hypot(*(pixels[:, None] - pixels[None]).transpose(2, 0, 1))
        nearest = [distances[i, inside != inside[i]].min() for i in range(len(pixels))]
        total = total + np.where(inside, nearest, np.negative(nearest))
    total = total.reshape(16, 19)[1:-1, 1:-1]
    clear = np.abs(total) > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(average_shape(blobs)[clear], total[clear] > 0)


def test_average_shape_of_shifted_and_of_empty_masks() -> None:
    left, right, middle, nothing = np.zeros((4, 9, 20), dtype=bool)
    left[2:7, 3:9], right[2:7, 7:13], middle[2:7, 5:11] = True, True, True
    assert not average_shape(np.stack([left, right]))[:, [3, 12]].any()
    np.testing.assert_array_equal(average_shape(np.stack([left, right]))[4, 5:11], middle[4, 5:11])
    np.testing.assert_array_equal(average_shape(np.stack([nothing, left])), left)
    np.testing.assert_array_equal(average_shape(np.stack([nothing, nothing])), nothing)
    wider = left.copy()
    wider[2:7, 9] = True  # differs in one column: distances 1 and -1, so the first mask decides
    np.testing.assert_array_equal(average_shape(np.stack([left, wider])), left)
    np.testing.assert_array_equal(average_shape(np.stack([wider, left])), wider)


def test_instances_are_grouped_across_views_within_a_class() -> None:
    def bar(start: int, end: int) -> np.ndarray:
        return np.broadcast_to((np.arange(20) >= start) & (np.arange(20) < end), (2, 20))

    masks = np.stack([bar(0, 10), bar(0, 9), bar(0, 10), bar(0, 6), bar(0, 10), bar(12, 20)])
    scores = np.array([0.9, 0.8, 0.7, 0.95, 0.6, 0.5])
    labels = np.array([1, 1, 1, 1, 2, 1])
    views = np.array([0, 0, 1, 1, 1, 1])
    # 3 (IoU 6/9 with 1, 6/10 with 0) is best and takes 1; 0 takes 2; 4 is of another class, 5 elsewhere
    assert group_instances(masks, scores, labels, views, 0.55) == [[3, 1], [0, 2], [4], [5]]
    assert group_instances(masks, scores, labels, views, 0.95) == [[3], [0, 2], [1], [4], [5]]
    nothing = np.zeros(0, dtype=int)
    assert group_instances(np.zeros((0, 2, 2), dtype=bool), np.zeros(0), nothing, nothing, 0.5) == []
