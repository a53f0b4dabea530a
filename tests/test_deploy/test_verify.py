"""The comparison of detections: what passes, what is a close call, and what is a difference."""

from mmdet_ir.deploy.verify import Comparison

import numpy as np
import pytest

META = {'classes': ['human', 'car'], 'score_threshold': 0.05, 'nms_iou_threshold': 0.5, 'max_per_image': 3}
BOXES = np.array([[10, 10, 30, 30], [50, 10, 70, 40]], np.float32)


def found(
    boxes: np.ndarray = BOXES, scores: tuple[float, ...] = (0.9, 0.6), labels: tuple[int, ...] = (0, 1)
) -> dict[str, np.ndarray]:
    """Detections whose masks fill their boxes."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    masks = np.zeros((len(boxes), 64, 96), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.round().astype(int), strict=True):
        mask[top:bottom, left:right] = True
    return {'boxes': boxes, 'scores': np.array(scores, np.float32), 'labels': np.array(labels), 'masks': masks}


def compare(expected: dict, got: dict) -> Comparison:
    comparison = Comparison()
    comparison.add('image', expected, got, META)
    return comparison


def test_the_same_in_another_order_passes() -> None:
    result = compare(found(), found(BOXES[::-1] + np.float32(0.25), (0.6004, 0.9), (1, 0)))
    assert result.same and (result.images, result.without, result.detections) == (1, 0, 2)
    assert (result.box, result.mask) == (0.25, 1.0)
    assert result.score == pytest.approx(4e-4, abs=1e-6)


def test_no_detections_on_both_sides_pass() -> None:
    result = compare(found([], (), ()), found([], (), ()))
    assert result.same and result.without == 1


@pytest.mark.parametrize(
    ('got', 'words'),
    [
        (found(BOXES + np.array([[0, 0, 0.75, 0], [0, 0, 0, 0]], np.float32)), 'box: expected 0.5 at worst, got 0.75'),
        (found(scores=(0.9, 0.602)), 'score: expected 0.001'),
        (found(labels=(0, 0)), 'only PyTorch has car'),
        (found(BOXES[:1], (0.9,), (0,)), 'only PyTorch has car 0.6000'),
        (found([*BOXES, [0, 40, 20, 60]], (0.9, 0.6, 0.3), (0, 1, 0)), 'only exported has human 0.3000'),
    ],
)
def test_differences_are_found(got: dict, words: str) -> None:
    result = compare(found(), got)
    assert not result.same
    assert words in ' '.join(result.differences)


@pytest.mark.parametrize(
    ('moved', 'score', 'even', 'same'),
    [
        (2, 0.5, True, True),
        (40, 0.5, True, True),
        (2, 0.5, False, False),  # in an image with content that is an error of the export
        (40, 0.5, False, False),
        (2, 0.6, True, False),
        (40, 0.6, True, False),
    ],
)
def test_in_an_even_image_a_box_may_be_one_of_equal_score(moved: int, score: float, even: bool, same: bool) -> None:
    boxes = np.array([[10, 10, 42, 42]], np.float32)
    comparison = Comparison()
    comparison.add('even', found(boxes, (0.5,), (0,)), found(boxes + moved, (score,), (0,)), META, None, even)
    assert comparison.same == same
    assert not same or comparison.close == {'one of equal score elsewhere in an even image': 1 if moved == 2 else 2}


def test_a_mask_that_lacks_a_row_is_a_difference() -> None:
    got = found()
    got['masks'][0, 10] = False  # 19 of 20 rows are left: IoU 0.95
    result = compare(found(), got)
    assert result.mask == pytest.approx(0.95) and not result.same


@pytest.mark.parametrize('close', [True, False])
def test_a_pixel_at_the_mask_threshold_is_a_close_call(close: bool) -> None:
    box = np.array([[10, 10, 20, 15]], np.float32)  # 50 pixels: a single one is more than the limit allows
    expected, got = (found(box, (0.9,), (0,)) for _ in range(2))
    got['masks'][0, 12, 12] = False
    pixels = np.zeros_like(got['masks'])
    pixels[0, 12, 12 if close else 13] = True
    comparison = Comparison()
    comparison.add('image', expected, got, META, lambda: pixels)
    assert comparison.mask == pytest.approx(0.98) and comparison.same == close
    assert comparison.close.total() == close


@pytest.mark.parametrize(
    ('extra', 'score', 'reason'),
    [
        ([0, 40, 20, 60], 0.0505, 'at the score threshold'),
        # 20x20 boxes shifted by 6.67: overlap 13.33 of 26.67, which is an IoU of 1/2
        ([16.667, 10, 36.667, 30], 0.3, 'at the IoU threshold of NMS'),
    ],
)
def test_decisions_that_hang_on_rounding_are_reported_apart(extra: list, score: float, reason: str) -> None:
    result = compare(found(), found([*BOXES, extra], (0.9, 0.6, score), (0, 1, 0)))
    assert result.same and result.close == {reason: 1}


def test_a_rival_of_equal_score_may_win_on_the_other_side() -> None:
    # shifted by 6 of 20: IoU 14 / 26 = 0.538, above the threshold of NMS, far too little for a match
    result = compare(found(), found(BOXES + np.array([[6, 0, 6, 0], [0, 0, 0, 0]], np.float32), (0.9005, 0.6)))
    assert result.same and result.close == {'suppressed by one of equal score': 2}


def test_the_last_place_of_a_full_list_may_go_to_another() -> None:
    third, other = [0, 40, 20, 60], [40, 44, 60, 64]
    first = found([*BOXES, third], (0.9, 0.6, 0.3001), (0, 1, 0))
    second = found([*BOXES, other], (0.9, 0.6, 0.3002), (0, 1, 0))
    result = compare(first, second)
    assert result.same and result.close == {'at the last place of a full list': 2}
