"""Non-maximum suppression with mmcv's signatures."""

import torchvision
from torch import Tensor

from ._dtype import upcast


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy NMS.

    Args:
        boxes: (N, 4), xyxy in pixels.
        scores: (N,).
        iou_threshold: A box is dropped when its IoU with a better one is greater than this.
        offset: 0, or 1 for boxes whose width is ``x2 - x1 + 1``.

    Returns:
        (K,) int64, kept indices, best score first.
    """
    boxes, scores = upcast(boxes, scores)
    if offset:
        # `x2 - x1 + 1` is the width of the box with x2 + 1; intersections follow.
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores, iou_threshold)
