"""Which detections find a target: the matching of COCO's evaluation, kept instead of summed up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils

from ..mask_agreement import to_rle


@dataclass
class ImageMatch:
    """The detections of one image beside its targets.

    Attributes:
        detections: COCO results, by falling score.
        targets: COCO annotations without ignored regions.
        ious: Mask IoU of each detection with each target, of whatever class: shape (D, T).
        matched: For each detection the index of the target that it finds, or -1: shape (D,).
        ignored: Detections that find nothing but lie in an ignored region of their class; they count neither as
            right nor as wrong: shape (D,).
    """

    detections: list[dict]
    targets: list[dict]
    ious: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray


def match_image(
    detections: Sequence[dict],
    annotations: Sequence[dict],
    size: tuple[int, int],
    iou_thr: float = 0.5,
    max_dets: int = 100,
) -> ImageMatch:
    """Match the detections of one image with its targets, as ``COCOeval`` does without limits on the area.

    Detections choose by falling score: each takes the target of its class that it overlaps most and that is not taken
    yet, if their mask IoU is at least ``iou_thr``.

    Args:
        detections: COCO results with RLE masks.
        annotations: COCO annotations; those with ``iscrowd`` are ignored regions.
        size: Height and width of the image in pixels.
        iou_thr: Smallest mask IoU of a match.
        max_dets: Only so many detections of a class count, those with the highest scores.
    """
    ordered, seen = [], {}
    for detection in sorted(detections, key=lambda d: -d['score']):
        rank = seen[detection['category_id']] = seen.get(detection['category_id'], 0) + 1
        if rank <= max_dets:
            ordered.append(detection)
    targets = [a for a in annotations if not a.get('iscrowd')]
    crowds = [a for a in annotations if a.get('iscrowd')]
    found = [d['segmentation'] for d in ordered]
    ious = _ious(found, [to_rle(a, size) for a in targets], crowd=False)
    in_crowd = _ious(found, [to_rle(a, size) for a in crowds], crowd=True)
    labels = np.array([d['category_id'] for d in ordered], dtype=object)
    same = labels[:, None] == np.array([a['category_id'] for a in targets], dtype=object)
    in_crowd = in_crowd * (labels[:, None] == np.array([a['category_id'] for a in crowds], dtype=object))

    matched = np.full(len(ordered), -1)
    free = np.where(same, ious, -1.0)
    for i in range(len(ordered) if targets else 0):
        best = len(targets) - 1 - int(free[i, ::-1].argmax())  # of equal ones the last, as in COCOeval
        if free[i, best] >= iou_thr:
            matched[i] = best
            free[:, best] = -1
    ignored = (matched < 0) & (in_crowd >= iou_thr).any(axis=1)
    return ImageMatch(ordered, targets, ious, matched, ignored)


def _ious(detections: list[dict], regions: list[dict], crowd: bool) -> np.ndarray:
    """Shape (detections, regions); of crowds the share of the detection that they cover."""
    if not detections or not regions:
        return np.zeros((len(detections), len(regions)))
    return mask_utils.iou(detections, regions, [crowd] * len(regions))
