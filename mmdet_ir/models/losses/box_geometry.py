"""The geometry that every loss of the IoU family shares, computed once."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..utils import to_full_precision


class BoxGeometry(NamedTuple):
    """Quantities of paired boxes, each of shape ``[N]``, in pixels unless said otherwise.

    Attributes:
        iou: Intersection over union, without unit, in [0, 1].
        dx: Signed distance of the centres along x, prediction minus target.
        dy: The same along y.
        enclosing_w: Width of the smallest box that holds both (``C_x`` in the paper).
        enclosing_h: Its height (``C_y``).
        w: Width of the prediction.
        h: Height of the prediction.
        w_gt: Width of the target.
        h_gt: Height of the target.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.losses import box_geometry
        >>> target, pred = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])  # IoU is 1 / 3
        >>> box_geometry(pred, target)._fields[:3]
        ('iou', 'dx', 'dy')
    """

    iou: Tensor
    dx: Tensor
    dy: Tensor
    enclosing_w: Tensor
    enclosing_h: Tensor
    w: Tensor
    h: Tensor
    w_gt: Tensor
    h_gt: Tensor


def box_geometry(pred: Tensor, target: Tensor, eps: float = 1e-7) -> BoxGeometry:
    """Compares boxes pairwise, in float32 or better.

    Args:
        pred: Predicted boxes, shape ``[N, 4]``, xyxy in pixels.
        target: Target boxes, shape ``[N, 4]``, xyxy in pixels.
        eps: Smallest width, height and union that is divided by. Boxes with a side below it (degenerate or with
            swapped corners) count as having that side, so nothing divides by zero.

    Returns:
        The shared quantities, see :class:`BoxGeometry`.

    Raises:
        ValueError: If the shapes differ or are not ``[N, 4]``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.losses import box_geometry
        >>> target, pred = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])  # IoU is 1 / 3
        >>> geometry = box_geometry(pred, target)
        >>> geometry.dx, geometry.enclosing_w
        (tensor([5.]), tensor([15.]))
    """
    if pred.shape != target.shape or pred.dim() != 2 or pred.size(-1) != 4:
        raise ValueError(f'expected pred and target of one shape [N, 4], got {[*pred.shape]} and {[*target.shape]}')
    pred, target = to_full_precision(pred), to_full_precision(target)
    w, h = (pred[:, 2:] - pred[:, :2]).clamp(min=eps).unbind(-1)
    w_gt, h_gt = (target[:, 2:] - target[:, :2]).clamp(min=eps).unbind(-1)
    overlap_w, overlap_h = (
        (torch.min(pred[:, 2:], target[:, 2:]) - torch.max(pred[:, :2], target[:, :2])).clamp(min=0).unbind(-1)
    )
    distance = (pred[:, :2] + pred[:, 2:] - target[:, :2] - target[:, 2:]) / 2
    enclosing = torch.max(pred[:, 2:], target[:, 2:]) - torch.min(pred[:, :2], target[:, :2])
    # Of boxes with swapped corners the latter can be 0 or negative; what encloses both also spans their centres.
    enclosing_w, enclosing_h = torch.max(enclosing, distance.abs()).clamp(min=eps).unbind(-1)
    dx, dy = distance.unbind(-1)
    overlap = overlap_w * overlap_h
    iou = overlap / (w * h + w_gt * h_gt - overlap).clamp(min=eps)
    return BoxGeometry(iou, dx, dy, enclosing_w, enclosing_h, w, h, w_gt, h_gt)
