"""Precision over recall of each class, from COCO's own matching."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...datasets.validation.checks.structure import id_order
from ..coco_eval import MAX_DETS, accumulate
from ..rows import ALL

RECALLS = np.linspace(0, 1, 101)  # COCO's levels
LEVELS = {'50': slice(0, 1), '75': slice(5, 6), '50-95': slice(None)}  # of COCO's IoU thresholds 0.50:0.05:0.95
_ALL_SIZES, _MOST = 0, -1


@dataclass
class PrecisionRecall:
    """Curves of one model.

    Attributes:
        classes: Names of the classes.
        precision: By IoU (``'50'``, ``'75'``, ``'50-95'``: the mean over the ten thresholds) and by class, with
            ``'all'`` for the mean over the classes that have targets: shape (101,), at ``RECALLS``; the precision is
            the highest one at that recall or beyond, 0 where it is not reached, NaN without targets.
    """

    classes: list[str]
    precision: dict[str, dict[str, np.ndarray]]

    def ap(self, level: str, row: str) -> float:
        """Average precision as a fraction: the mean of the curve."""
        return float(self.precision[level][row].mean())


def precision_recall(coco: dict, detections: Sequence[dict], max_dets: int = MAX_DETS) -> PrecisionRecall:
    """Compute the curves of masks; all images of the annotation file count.

    Args:
        coco: The annotation file's content (``read_coco``).
        detections: COCO results with RLE masks (``read_detections``).
        max_dets: Detections of a class and image that count.
    """
    names = {
        category['id']: category['name'] for category in sorted(coco['categories'], key=lambda c: id_order(c['id']))
    }
    scored = (coco['images'], coco['annotations'], detections, list(names), 'segm')
    precision = accumulate(*scored, max_dets=max_dets)[0]
    precision = precision[..., _ALL_SIZES, _MOST]  # (thresholds, recalls, classes)
    precision = np.where(precision < 0, np.nan, precision)
    scored = np.isfinite(precision[0, 0])
    curves = {}
    for level, thresholds in LEVELS.items():
        by_class = precision[thresholds].mean(axis=0)
        mean = by_class[:, scored].mean(axis=1) if scored.any() else np.full(len(RECALLS), np.nan)
        curves[level] = {ALL: mean, **{name: by_class[:, k] for k, name in enumerate(names.values())}}
    return PrecisionRecall(list(names.values()), curves)
