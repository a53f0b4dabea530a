"""Scores: the COCO metric with the paper's columns, further measures, errors, and the reader of saved detections."""

from .contrast import signal_to_clutter
from .detections import read_detections
from .ir_coco_metric import COLUMNS, IRCocoMetric
from .mask_agreement import compare_masks
from .measures import MeasureSettings, measure

__all__ = [
    'COLUMNS',
    'IRCocoMetric',
    'MeasureSettings',
    'compare_masks',
    'measure',
    'read_detections',
    'signal_to_clutter',
]
