"""Saved detections, and which of them find a target: the matching of COCO's evaluation, kept instead of summed up."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils

from ..datasets.coco_files import refuse
from ..datasets.validation.structure import is_id
from . import mask_data
from .mask_agreement import to_rle

_FIELDS = ('image_id', 'category_id', 'segmentation', 'score')


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


def read_detections(path: str | os.PathLike, coco: dict) -> list[dict]:
    """Read detections with masks as ``outfile_prefix`` of the COCO metrics saves them (``<prefix>.segm.json``).

    Args:
        path: COCO results: a JSON list of objects with ``image_id``, ``category_id``, ``segmentation`` and ``score``.
        coco: The annotation file that they are to be compared with (``read_coco``).

    Returns:
        The detections, without any other field; boxes are those of the masks where they are needed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a list, or its images, classes or mask sizes are not those of ``coco``.
    """
    entries = mask_data.read_detections(path)
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'{path}: expected a list of detections (<outfile_prefix>.segm.json), got another JSON file')
    numbered = list(enumerate(entries))
    for field in _FIELDS:
        lacking = [i for i, entry in numbered if field not in entry]
        hint = ' (boxes only? <outfile_prefix>.segm.json has the masks)' if field == 'segmentation' else ''
        refuse(path, f'detections lack "{field}"{hint}; positions in the list', lacking)
    sizes = {image['id']: (image['height'], image['width']) for image in coco['images']}
    categories = {category['id'] for category in coco['categories']}
    unusable_ids = [i for i, e in numbered if not (is_id(e['image_id']) and is_id(e['category_id']))]
    refuse(path, 'ids of images or categories are neither numbers nor text; positions in the list', unusable_ids)
    wrong_scores = [i for i, e in numbered if not mask_data.is_score(e['score'])]
    refuse(path, 'detections have a score that is no finite number; positions in the list', wrong_scores)
    refuse(
        path,
        'detections are of images that the annotation file does not have; image ids',
        sorted({e['image_id'] for e in entries if e['image_id'] not in sizes}),
    )
    refuse(
        path,
        'detections have categories that the annotation file does not have; category ids',
        sorted({e['category_id'] for e in entries if e['category_id'] not in categories}),
    )
    misshaped = [i for i, e in numbered if not mask_data.is_rle(e['segmentation'], sizes[e['image_id']])]
    refuse(path, 'detections lack an RLE mask of the height and width of their image; positions', misshaped)
    mask_data.check_runs(entries, sizes, path)
    return [{field: entry[field] for field in _FIELDS} for entry in entries]


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
    labels = np.array([d['category_id'] for d in ordered], dtype=int)
    same = labels[:, None] == np.array([a['category_id'] for a in targets], dtype=int)
    in_crowd = in_crowd * (labels[:, None] == np.array([a['category_id'] for a in crowds], dtype=int))

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
