"""Non-maximum suppression with mmcv's signatures."""

import torch
import torchvision
from torch import Tensor

from ._dtype import upcast

NAIVE, LINEAR, GAUSSIAN = range(3)


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


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., ICCV 2017): boxes that overlap a better one lose score instead of being dropped.

    Args:
        boxes: (N, 4), xyxy in pixels.
        scores: (N,).
        dets: (N, 5), written in place: the first K rows become the kept boxes and their decayed scores.
        iou_threshold: From this IoU on the naive method drops and the linear one multiplies by ``1 - IoU``.
        sigma: Of the Gaussian method, which multiplies by ``exp(-IoU^2 / sigma)``.
        min_score: A box whose score falls below is dropped.
        method: 0 naive, 1 linear, 2 Gaussian.
        offset: 0, or 1 for boxes whose width is ``x2 - x1 + 1``.

    Returns:
        (K,) int64, kept indices, in the order of ``dets``. Among equal scores the lower index comes first.
    """
    boxes, scores = upcast(boxes, scores)
    low, high = boxes[:, :2], boxes[:, 2:] + offset
    areas = (high - low).prod(dim=1)
    rest = torch.arange(len(boxes), device=boxes.device)
    kept = []
    while len(rest):
        best = scores[rest].argmax()
        top = rest[best]
        dets[len(kept), :4] = boxes[top]
        dets[len(kept), 4] = scores[top]
        kept.append(top)
        rest = torch.cat((rest[:best], rest[best + 1 :]))

        sides = torch.minimum(high[rest], high[top]) - torch.maximum(low[rest], low[top])
        overlap = sides.clamp(min=0).prod(dim=1)
        # Two boxes without area have no IoU; they do not touch each other's score.
        iou = (overlap / (areas[top] + areas[rest] - overlap)).nan_to_num(nan=0.0)
        if method == GAUSSIAN:
            weight = torch.exp(-(iou**2) / sigma)
        else:
            decayed = 1 - iou if method == LINEAR else torch.zeros_like(iou)
            weight = torch.where(iou >= iou_threshold, decayed, 1.0)
        scores = scores.index_copy(0, rest, scores[rest] * weight)
        rest = rest[scores[rest] >= min_score]
    return torch.stack(kept) if kept else rest
