"""COCO's matching of detections with targets, by a fast library or by the original one."""

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
from pycocotools import mask as mask_utils

from ..cli.choices import BACKENDS, BOUNDARY_RATIO
from ..datasets.validation.checks.structure import id_order

MAX_DETS = 100  # COCO's


def accumulate(
    images: Sequence[dict],
    targets: Sequence[dict],
    detections: Sequence[dict],
    category_ids: Sequence[int],
    kind: str,
    *,
    backend: str = BACKENDS[0],
    ranges: Sequence[tuple[float, float]] | None = None,
    boundary_ratio: float = BOUNDARY_RATIO,
    max_dets: int = MAX_DETS,
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of detections at COCO's IoU thresholds, recall levels and numbers of detections.

    The entries that come in are not changed. Inside, images, categories and targets get new ids, since the libraries
    differ in the ids that they can score: text, negative ones, those beyond 32 bits; and an id of 0 means "no match".

    Args:
        images: COCO image entries; only their targets and detections count.
        targets: COCO annotations. With ``'segm'`` and ``'boundary'`` polygons or RLE; ``area`` is what ``ranges``
            refers to, pixels unless the caller puts another quantity there.
        detections: COCO results: ``image_id``, ``category_id``, ``score`` and ``bbox`` (x, y, w, h in pixels) or
            ``segmentation`` (compressed RLE). ``area`` is taken as given, else it is that of the box or mask.
        category_ids: In the order of the results.
        kind: ``'bbox'``, ``'segm'`` (IoU of masks) or ``'boundary'``: the smaller one of the IoUs of the masks and of
            the masks' inner margins (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
            Evaluation", CVPR 2021). Ignored regions keep the IoU of the masks, as in the authors' code.
        backend: One of ``BACKENDS``. They give the same numbers.
        ranges: Lowest and highest ``area`` that counts, both included; targets outside are ignored, and so are
            detections outside that match no target. Defaults to COCO's: all, small, medium, large.
        boundary_ratio: Width of the margin as a fraction of the image diagonal; rounded, at least one pixel.
        max_dets: How many detections of a class count in an image, those with the highest scores.

    Returns:
        Precision, shape (10 IoU thresholds, 101 recall levels, categories, ranges, 3 numbers of detections), and
        recall, the same without recall levels; -1 where there is no target.

    Raises:
        ValueError: If ``backend`` is unknown or has no such ``kind``.
    """
    check_backend(backend, kind)
    rle = kind != 'bbox'
    image_numbers = {i: k for k, i in enumerate(sorted({image['id'] for image in images}, key=id_order), start=1)}
    class_numbers = {i: k for k, i in enumerate(category_ids, start=1)}
    images = [{**image, 'id': image_numbers[image['id']]} for image in images]
    truth = list(_renumber(targets, image_numbers, class_numbers))
    for target in truth:
        target.setdefault('iscrowd', 0)
    found = list(_renumber(detections, image_numbers, class_numbers))
    for detection in found:
        detection |= {'area': _area(detection, rle), 'iscrowd': 0}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        if backend == 'pycocotools':
            coco = pycocotools.coco.COCO
            evaluation = pycocotools.cocoeval.COCOeval(iouType=kind)
        else:
            coco = faster_coco_eval.COCO
            evaluation = faster_coco_eval.COCOeval_faster(iouType=kind, boundary_dilation_ratio=boundary_ratio)
        categories = [{'id': i} for i in class_numbers.values()]
        evaluation.cocoGt = _indexed(coco, images, truth, categories)
        evaluation.cocoDt = _indexed(coco, images, found, categories)
        evaluation.params.imgIds = list(image_numbers.values())
        evaluation.params.catIds = list(class_numbers.values())
        evaluation.params.maxDets = [1, 10, max_dets]
        if ranges is not None:
            evaluation.params.areaRng = [list(bounds) for bounds in ranges]
            evaluation.params.areaRngLbl = [str(i) for i in range(len(ranges))]
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval['precision']), np.asarray(evaluation.eval['recall'])


def check_backend(backend: str, kind: str = 'segm') -> None:
    """Raises ``ValueError`` if ``backend`` is none of ``BACKENDS`` or does not know ``kind``."""
    if backend not in BACKENDS:
        raise ValueError(f'backend: expected one of {BACKENDS}, got {backend!r}')
    if backend == 'pycocotools' and kind == 'boundary':
        raise ValueError("boundary: expected backend='faster-coco-eval', as pycocotools has no boundary IoU")


def uncounted(targets: Sequence[dict], detections: Sequence[dict], max_dets: int) -> str | None:
    """A sentence on images with more targets or detections of a class than count; None where all count.

    Args:
        targets: COCO annotations that are scored; ignored regions are left out.
        detections: COCO results.
        max_dets: As for ``accumulate``.
    """
    told = []
    for what, entries in (
        ('targets', [target for target in targets if not target.get('iscrowd')]),
        ('detections', detections),
    ):
        numbers = Counter((entry['image_id'], entry['category_id']) for entry in entries)
        images = {image for (image, _), number in numbers.items() if number > max_dets}
        if images:
            told.append(f'{len(images)} images have more {what} (up to {max(numbers.values())})')
    if not told:
        return None
    return f'only the best {max_dets} detections of each class count in an image, but {" and ".join(told)}'


def _renumber(entries: Sequence[dict], images: dict, classes: dict) -> Iterator[dict]:
    """Copies of the entries of these images and classes, by their numbers, and numbered themselves from 1."""
    number = 0
    for entry in entries:
        image, category = images.get(entry['image_id']), classes.get(entry['category_id'])
        if image is not None and category is not None:
            number += 1
            yield {**entry, 'id': number, 'image_id': image, 'category_id': category}


def _area(detection: dict, rle: bool) -> float:
    if 'area' in detection:
        return detection['area']
    if rle:
        return float(mask_utils.area(detection['segmentation']))
    return detection['bbox'][2] * detection['bbox'][3]


def _indexed(coco: type, images: Sequence[dict], annotations: list[dict], categories: list[dict]):
    index = coco()
    index.dataset = {'images': list(images), 'annotations': annotations, 'categories': categories}
    index.createIndex()
    return index
