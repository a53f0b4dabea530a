from .ir_coco_metric import COLUMNS, IRCocoMetric

__all__ = ['COLUMNS', 'IRCocoMetric']
