from .ir_coco_metric import COLUMNS, IRCocoMetric
from .measures import MeasureSettings, measure

__all__ = ['COLUMNS', 'IRCocoMetric', 'MeasureSettings', 'measure']
