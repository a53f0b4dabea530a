"""Labels of SOLO and SOLOv2 where they find nothing.

MMDetection 3.3 gives scores' type to the labels of an empty answer (``solo_head.py`` and ``solov2_head.py``,
``empty_results``), so that whatever counts or indexes by labels fails for images without detections.
"""

import functools

from mmdet.models.dense_heads.base_mask_head import BaseMaskHead
from mmengine.structures import InstanceData


def keep_labels_whole() -> None:
    """Lets every answer of a mask head have labels that are whole numbers."""
    stock = BaseMaskHead.predict
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def predict(self: BaseMaskHead, *args: object, **kwargs: object) -> list[InstanceData]:
        results = stock(self, *args, **kwargs)
        for instances in results:
            instances.labels = instances.labels.long()
        return results

    BaseMaskHead.predict = predict
