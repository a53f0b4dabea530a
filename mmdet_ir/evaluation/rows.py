"""Columns of the result tables, from COCO's arrays of precision and recall."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from ..datasets.validation.checks.structure import ALL_CLASSES as ALL
from ..datasets.validation.checks.structure import id_order

# Columns of the paper's tables -> names that MMDetection's users know from its CocoMetric.
COLUMNS = {
    'mAP': 'mAP',
    'Recall': 'Recall',
    'mAP50': 'mAP_50',
    'mAP75': 'mAP_75',
    'mAPs': 'mAP_s',
    'mAPm': 'mAP_m',
    'mAPl': 'mAP_l',
}
BIN_COLUMNS = ('mAP', 'Recall', 'mAP50', 'mAP75')
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)  # COCO's area ranges, bounds 32^2 and 96^2 pixels
_TOP1, _TOP10, _TOP100 = range(3)  # COCO's numbers of detections per image
_IOU50, _IOU75 = 0, 5  # indices into the IoU thresholds 0.50:0.05:0.95

Row = dict[str, float]
Rows = dict[str, Row]


def area_rows(precision: np.ndarray, recall: np.ndarray, targets: Iterable[dict], classes: Mapping[str, int]) -> Rows:
    """Rows ``'all'`` and of each class: number of targets, the paper's columns and COCO's other recalls.

    Args:
        precision: Shape (IoU thresholds, recall levels, classes, areas, numbers of detections), classes by ascending
            id; -1 where a class has no target.
        recall: Shape (IoU thresholds, classes, areas, numbers of detections); -1 where a class has no target.
        targets: COCO annotations that were scored; ignored regions are not counted.
        classes: Category id by class name, in the order of the rows.
    """
    return {
        name: {
            'targets': number,
            **_columns(precision[:, :, pick], recall[:, pick], _ALL),
            'mAPs': _mean(precision[:, :, pick, _SMALL, _TOP100]),
            'mAPm': _mean(precision[:, :, pick, _MEDIUM, _TOP100]),
            'mAPl': _mean(precision[:, :, pick, _LARGE, _TOP100]),
            'AR@1': _mean(recall[:, pick, _ALL, _TOP1]),
            'AR@10': _mean(recall[:, pick, _ALL, _TOP10]),
            'ARs': _mean(recall[:, pick, _SMALL, _TOP100]),
            'ARm': _mean(recall[:, pick, _MEDIUM, _TOP100]),
            'ARl': _mean(recall[:, pick, _LARGE, _TOP100]),
        }
        for name, pick, number in _picks(targets, classes)
    }


def bin_rows(
    precision: np.ndarray,
    recall: np.ndarray,
    targets: Iterable[dict],
    classes: Mapping[str, int],
    ranges: Mapping[str, tuple[float, float]],
) -> dict[str, Rows]:
    """Rows as those of ``area_rows`` for each range of ``area``, with the columns ``BIN_COLUMNS``.

    Args:
        precision: As for ``area_rows``, areas in the order of ``ranges``. So is ``recall``.
        recall: See there.
        targets: COCO annotations that were scored; ``area`` is what the ranges refer to.
        classes: Category id by class name, in the order of the rows.
        ranges: Lowest and highest value, both included, by the name of the range.
    """
    targets = list(targets)
    result = {}
    for a, (label, (low, high)) in enumerate(ranges.items()):
        inside = [target for target in targets if low <= target['area'] <= high]
        result[label] = {
            name: {'targets': number, **_columns(precision[:, :, pick], recall[:, pick], a)}
            for name, pick, number in _picks(inside, classes)
        }
    return result


def _picks(targets: Iterable[dict], classes: Mapping[str, int]) -> list[tuple[str, slice, int]]:
    """Name, place among the categories by ascending id, and number of targets of each row."""
    counts = Counter(target['category_id'] for target in targets if not target.get('iscrowd', 0))
    place = {category_id: k for k, category_id in enumerate(sorted(classes.values(), key=id_order))}
    picks = [(ALL, slice(None), sum(counts[category_id] for category_id in classes.values()))]
    return picks + [(name, slice(place[i], place[i] + 1), counts[i]) for name, i in classes.items()]


def _columns(precision: np.ndarray, recall: np.ndarray, area: int) -> Row:
    return {
        'mAP': _mean(precision[..., area, _TOP100]),
        'Recall': _mean(recall[..., area, _TOP100]),
        'mAP50': _mean(precision[_IOU50, ..., area, _TOP100]),
        'mAP75': _mean(precision[_IOU75, ..., area, _TOP100]),
    }


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else math.nan


def without_nan(values: object) -> object:
    """Nested dictionaries with ``None`` in place of NaN, as JSON has it."""
    if isinstance(values, dict):
        return {key: without_nan(value) for key, value in values.items()}
    return None if isinstance(values, float) and math.isnan(values) else values


def format_value(column: str, value: float | None) -> str:
    """One cell as the paper prints it: recall as a fraction, all else in percent, three decimals."""
    if value is None or math.isnan(value):
        return '-'
    return f'{value:.3f}' if column == 'Recall' else f'{100 * value:.3f}'
