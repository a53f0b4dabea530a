import copy

from mmdet_ir.evaluation.coco_eval import accumulate

import cv2
import numpy as np
import pytest
from mask_scenes import box_of, random_scenes, rectangle, rle_of
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import distance_transform_cdt

# Precision is tp / (tp + fp + epsilon); one library adds the epsilon to fp first, the other to the sum.
ROUNDING = 2**-52


def category_ids(coco):
    return [category['id'] for category in coco['categories']]


def run(coco, detections, kind, images=None, categories=None, **options):
    images = coco['images'] if images is None else images
    categories = category_ids(coco) if categories is None else categories
    return accumulate(images, coco['annotations'], detections, categories, kind, **options)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
@pytest.mark.parametrize('seed', range(6))
def test_backends_give_the_same_arrays(kind, seed):
    coco, detections = random_scenes(seed)
    inputs = copy.deepcopy((coco, detections))
    scored = []
    for images in (coco['images'], coco['images'][2:5], coco['images'][-1:], coco['images'][:1]):
        for categories in (category_ids(coco), category_ids(coco)[1:2]):
            for ranges in (None, [(0, np.nextafter(64, 0)), (64, 400.5), (401, np.inf)]):
                fast, slow = (
                    run(coco, detections, kind, images, categories, ranges=ranges, backend=backend)
                    for backend in ('faster-coco-eval', 'pycocotools')
                )
                assert_same(fast, slow)
                scored.append(fast[0].max())
    assert max(scored) > 0.3 and min(scored) == -1  # cases that say something, and one without targets
    assert (coco, detections) == inputs


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_the_twelve_numbers_are_those_of_the_original_program(kind, tmp_path):
    coco, detections = random_scenes(11)
    truth = COCO()
    truth.dataset = copy.deepcopy(coco)
    truth.createIndex()
    entries = [{k: d[k] for k in d if k != 'bbox' or kind == 'bbox'} for d in copy.deepcopy(detections)]
    original = COCOeval(truth, truth.loadRes(entries), kind)
    original.evaluate()
    original.accumulate()
    original.summarize()

    precision, recall = run(coco, detections, kind)
    mean = lambda values: values[values > -1].mean() if (values > -1).any() else -1  # noqa: E731
    ours = [mean(precision[..., 0, 2]), mean(precision[0, ..., 0, 2]), mean(precision[5, ..., 0, 2])]
    ours += [mean(precision[..., a, 2]) for a in (1, 2, 3)]
    ours += [mean(recall[..., 0, m]) for m in (0, 1, 2)] + [mean(recall[..., a, 2]) for a in (1, 2, 3)]
    np.testing.assert_allclose(ours, original.stats, rtol=0, atol=ROUNDING)
    assert 0.05 < ours[0] < 0.95


@pytest.mark.parametrize('backend', ['faster-coco-eval', 'pycocotools'])
def test_no_detection_and_more_than_counted(backend):
    shape = (40, 40)
    target = rectangle(shape, 5, 5, 20, 20)
    coco = {
        'images': [{'id': 5, 'height': 40, 'width': 40}],
        # an id of 0 must not count as "no match"; no "iscrowd" is no crowd
        'annotations': [
            {
                'id': 0,
                'image_id': 5,
                'category_id': 2,
                'area': 400.0,
                'bbox': box_of(target),
                'segmentation': rle_of(target),
            }
        ],
        'categories': [{'id': 2}],
    }
    precision, recall = run(coco, [], 'segm', backend=backend)
    assert precision[..., 0, :].max() == 0 and recall[..., 0, :].max() == 0
    assert (precision[..., 1, :] == 0).all() and (precision[..., 2:, :] == -1).all()

    hit = {'image_id': 5, 'category_id': 2, 'segmentation': rle_of(target), 'score': 0.5}
    assert run(coco, [hit], 'segm', backend=backend)[1][..., 0, 2].tolist() == [[1]] * 10
    false = {**hit, 'segmentation': rle_of(rectangle(shape, 30, 30, 5, 5)), 'score': 0.9}
    # the match is the 101st detection: not among the 100 that count
    assert run(coco, [false] * 100 + [hit], 'segm', backend=backend)[1].max() == 0
    assert run(coco, [false] * 99 + [hit], 'segm', backend=backend)[1][:, 0, 0].tolist() == [[0, 0, 1]] * 10


class SlowBoundaryEval(COCOeval):
    """pycocotools with the IoU of Cheng et al., margins made by OpenCV's erosion."""

    ratio = 0.02

    def margin(self, rle):
        mask = mask_utils.decode(rle)
        width = max(1, round(self.ratio * np.hypot(*mask.shape)))
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
        return mask.astype(bool) & ~inner.astype(bool)

    def computeIoU(self, imgId, catId):
        ious = super().computeIoU(imgId, catId)
        found = sorted(self._dts[imgId, catId], key=lambda d: -d['score'])[:100]
        for j, target in enumerate(self._gts[imgId, catId]):
            for i, detection in enumerate(found):
                if not target['iscrowd']:
                    one, other = self.margin(target['segmentation']), self.margin(detection['segmentation'])
                    union = (one | other).sum()
                    ious[i, j] = min(ious[i, j], (one & other).sum() / union if union else 0)
        return ious


@pytest.mark.parametrize('ratio', [0.02, 0.05, 0.0001])
@pytest.mark.parametrize('seed', [0, 1])
def test_boundary_equals_a_slow_reference(seed, ratio):
    coco, detections = random_scenes(seed, size=(8, 60))
    truth = COCO()
    truth.dataset = copy.deepcopy(coco)
    truth.createIndex()
    slow = SlowBoundaryEval(
        truth, truth.loadRes([{k: d[k] for k in d if k != 'bbox'} for d in copy.deepcopy(detections)]), 'segm'
    )
    slow.ratio = ratio
    slow.evaluate()
    slow.accumulate()
    fast = run(coco, detections, 'boundary', boundary_ratio=ratio)
    assert_same(fast, (slow.eval['precision'], slow.eval['recall']))
    assert (fast[0] != run(coco, detections, 'segm')[0]).any()


@pytest.mark.parametrize(('shape', 'width'), [((256, 320), 8), ((512, 640), 16), ((20, 20), 1)])
def test_width_of_the_boundary(shape, width):
    """The margin is every pixel of the mask within ``width`` rows and columns of the outside or the image's edge."""
    side = min(shape) - 6
    target, found = rectangle(shape, 0, 2, side, side), rectangle(shape, 1, 4, side, side - 2)

    def margin(mask):
        distance = distance_transform_cdt(np.pad(mask, 1), metric='chessboard')[1:-1, 1:-1]
        return mask & (distance <= width)

    iou = (margin(target) & margin(found)).sum() / (margin(target) | margin(found)).sum()
    assert iou < (target & found).sum() / (target | found).sum()
    assert min(abs(iou - np.linspace(0.5, 0.95, 10))) > 1e-3
    coco = {
        'images': [{'id': 1, 'height': shape[0], 'width': shape[1]}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'area': 1.0, 'segmentation': rle_of(target)}],
        'categories': [{'id': 1}],
    }
    detection = {'image_id': 1, 'category_id': 1, 'score': 1.0, 'segmentation': rle_of(found)}
    recall = run(coco, [detection], 'boundary')[1]
    assert recall[:, 0, 0, 2].sum() == (iou >= np.linspace(0.5, 0.95, 10)).sum()


def test_a_target_narrower_than_two_margins_is_all_boundary():
    shape = (256, 320)
    target, found = rectangle(shape, 30, 30, 16, 16), rectangle(shape, 33, 30, 16, 16)
    coco = {
        'images': [{'id': 1, 'height': 256, 'width': 320}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'area': 256, 'segmentation': rle_of(target)}],
        'categories': [{'id': 1}],
    }
    detection = {'image_id': 1, 'category_id': 1, 'score': 1.0, 'segmentation': rle_of(found)}
    same, finer = (run(coco, [detection], 'boundary', boundary_ratio=r)[1][:, 0, 0, 2].sum() for r in (0.02, 0.005))
    assert same == run(coco, [detection], 'segm')[1][:, 0, 0, 2].sum() == 4  # IoU 13/19 = 0.684
    assert finer < same


def test_backends_are_named():
    coco, detections = random_scenes(0)
    with pytest.raises(
        ValueError, match=r"backend: expected one of \('faster-coco-eval', 'pycocotools'\), got 'fast'"
    ):
        run(coco, detections, 'segm', backend='fast')
    with pytest.raises(ValueError, match="boundary: expected backend='faster-coco-eval'"):
        run(coco, detections, 'boundary', backend='pycocotools')
