"""CIoU, EIoU and SIoU box losses with focal weighting.

Wang & Ren, Symmetry 2025, 17, 1099, Eq. 7-12 and Table 2. ``gamma=0`` gives the plain loss of each. The costs
follow: CIoU, Zheng et al., AAAI 2020; EIoU, Zhang et al., Neurocomputing 2022; SIoU, Gevorgyan, arXiv:2205.12740.

They are not MMDetection's: its ``SIoULoss`` turns the distance cost into a reward by default, and none of its
IoU losses has the focal weight.
"""

import math
from collections.abc import Callable

import torch
from mmdet.models.losses.utils import weighted_loss
from mmdet.registry import MODELS
from torch import Tensor, nn

from .box_geometry import BoxGeometry, box_geometry


def ciou_cost(g: BoxGeometry, eps: float) -> Tensor:
    """``1 - IoU + sigma^2 / C^2 + alpha v``; shape ``[N]``. ``alpha`` carries no gradient, as in its paper."""
    distance = (g.dx.square() + g.dy.square()) / (g.enclosing_w.square() + g.enclosing_h.square())
    v = 4 / math.pi**2 * (torch.atan(g.w_gt / g.h_gt) - torch.atan(g.w / g.h)).square()
    alpha = (v / (1 - g.iou + v).clamp(min=eps)).detach()
    return 1 - g.iou + distance + alpha * v


def eiou_cost(g: BoxGeometry, eps: float) -> Tensor:
    """``1 - IoU + sigma^2 / C^2 + (w - w_gt)^2 / C_x^2 + (h - h_gt)^2 / C_y^2``; shape ``[N]``."""
    distance = (g.dx.square() + g.dy.square()) / (g.enclosing_w.square() + g.enclosing_h.square())
    sides = ((g.w - g.w_gt) / g.enclosing_w).square() + ((g.h - g.h_gt) / g.enclosing_h).square()
    return 1 - g.iou + distance + sides


def siou_cost(g: BoxGeometry, eps: float, theta: float = 4) -> Tensor:
    """``1 - IoU + (Delta + Omega) / 2`` (Eq. 11); shape ``[N]``."""
    # Eq. 7-8. With x = sin(alpha), 1 - 2 sin^2(arcsin(x) - pi/4) = sin(2 alpha) = 2 sin(alpha) cos(alpha), which
    # unlike arcsin has a gradient at x = 1 (centres exactly above each other).
    angle = 2 * g.dx.abs() * g.dy.abs() / (g.dx.square() + g.dy.square()).clamp(min=eps)
    decay = 2 - angle
    rho_x, rho_y = (g.dx / g.enclosing_w).square(), (g.dy / g.enclosing_h).square()
    distance = 2 - torch.exp(-decay * rho_x) - torch.exp(-decay * rho_y)  # Eq. 9
    omega_w = (g.w - g.w_gt).abs() / torch.max(g.w, g.w_gt)
    omega_h = (g.h - g.h_gt).abs() / torch.max(g.h, g.h_gt)
    shape = (1 - torch.exp(-omega_w)) ** theta + (1 - torch.exp(-omega_h)) ** theta  # Eq. 10
    return 1 - g.iou + (distance + shape) / 2


@weighted_loss
def focal_iou_loss(
    pred: Tensor,
    target: Tensor,
    cost: Callable[[BoxGeometry, float], Tensor],
    gamma: float = 0.5,
    detach_weight: bool = True,
    eps: float = 1e-7,
) -> Tensor:
    """``IoU^gamma * cost`` for paired boxes (Eq. 12).

    Args:
        pred: Predicted boxes, shape ``[N, 4]``, xyxy in pixels.
        target: Target boxes, shape ``[N, 4]``, xyxy in pixels.
        cost: One of :func:`ciou_cost`, :func:`eiou_cost`, :func:`siou_cost`.
        gamma: Focal exponent; 0 weighs every box alike.
        detach_weight: Whether the weight ``IoU^gamma`` is a constant to the gradient. With a gradient through it,
            boxes whose IoU is small are pushed away from their target.
        eps: Smallest divisor, and smallest IoU that is raised to ``gamma``.

    Returns:
        Loss of each box, shape ``[N]``, float32 or better; ``weighted_loss`` reduces it.
    """
    geometry = box_geometry(pred, target, eps)
    loss = cost(geometry, eps)
    if gamma == 0:
        return loss
    iou = geometry.iou.detach() if detach_weight else geometry.iou
    return iou.clamp(min=eps) ** gamma * loss


class _FocalIoULoss(nn.Module):
    """Base of the family, called as MMDetection's IoU losses are.

    Use it in a box head with ``reg_decoded_bbox=True``.

    Args:
        gamma: Focal exponent of Eq. 12, called lambda in the paper's Fig. 9. 0 gives the plain loss.
        detach_weight: Keep the focal weight out of the gradient (default), see :func:`focal_iou_loss`.
        eps: Smallest divisor.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight: Factor of the result.

    Raises:
        ValueError: If ``gamma`` is negative or ``reduction`` unknown.
    """

    cost: Callable[[BoxGeometry, float], Tensor]

    def __init__(
        self,
        gamma: float = 0.5,
        detach_weight: bool = True,
        eps: float = 1e-7,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f'expected gamma >= 0, got {gamma}')
        self.gamma = gamma
        self.detach_weight = detach_weight
        self.eps = eps
        self.reduction = self._checked(reduction)
        self.loss_weight = loss_weight

    @staticmethod
    def _checked(reduction: str) -> str:
        if reduction not in ('none', 'mean', 'sum'):
            raise ValueError(f"expected reduction 'none', 'mean' or 'sum', got {reduction!r}")
        return reduction

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Computes the loss in float32 or better, whatever the autocast state.

        Args:
            pred: Predicted boxes, shape ``[N, 4]``, xyxy in pixels; N may be 0.
            target: Target boxes, shape ``[N, 4]``, xyxy in pixels.
            weight: Weight of each box, shape ``[N]`` or ``[N, 4]`` (averaged over the last axis).
            avg_factor: Divisor of the sum instead of N, with ``'mean'`` only.
            reduction_override: Replaces ``reduction``.

        Returns:
            A scalar, or ``[N]`` with ``'none'``. Without boxes a zero that is connected to ``pred``.

        Raises:
            ValueError: If the shapes do not fit, or ``avg_factor`` comes with ``'sum'``.
        """
        reduction = self._checked(reduction_override or self.reduction)
        if weight is not None and weight.dim() == 2:
            weight = weight.mean(-1)
        if not pred.size(0) and reduction == 'mean' and avg_factor is None:
            reduction = 'sum'  # a mean over nothing is NaN, the sum is a connected zero
        loss = focal_iou_loss(
            pred,
            target,
            weight,
            reduction,
            avg_factor,
            cost=type(self).cost,
            gamma=self.gamma,
            detach_weight=self.detach_weight,
            eps=self.eps,
        )
        return self.loss_weight * loss


@MODELS.register_module()
class FocalCIoULoss(_FocalIoULoss):
    """Focal complete-IoU loss (Table 2; plain CIoU with ``gamma=0``).

    Example:
        >>> import torch
        >>> from mmdet_ir.models import FocalCIoULoss
        >>> target, pred = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])  # IoU is 1 / 3
        >>> print(f'{FocalCIoULoss(gamma=0)(pred, target).item():.4f}')  # 1 - 1/3 + 5^2 / (15^2 + 10^2)
        0.7436
    """

    cost = staticmethod(ciou_cost)


@MODELS.register_module()
class FocalEIoULoss(_FocalIoULoss):
    """Focal efficient-IoU loss (Table 2; plain EIoU with ``gamma=0``).

    Example:
        >>> import torch
        >>> from mmdet_ir.models import FocalEIoULoss
        >>> target, pred = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])  # IoU is 1 / 3
        >>> print(f'{FocalEIoULoss(gamma=0)(pred, target).item():.4f}')  # 1 - 1/3 + 5^2 / (15^2 + 10^2)
        0.7436
    """

    cost = staticmethod(eiou_cost)


@MODELS.register_module()
class FocalSIoULoss(_FocalIoULoss):
    """Focal SCYLLA-IoU loss, the paper's box loss (Eq. 7-12; plain SIoU with ``gamma=0``).

    Example:
        >>> import torch
        >>> from mmdet_ir.models import FocalSIoULoss
        >>> target, pred = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])  # IoU is 1 / 3
        >>> print(f'{FocalSIoULoss(gamma=0)(pred, target).item():.4f}')  # 1 - 1/3 + (1 - exp(-2 (5 / 15)^2)) / 2
        0.7663
    """

    cost = staticmethod(siou_cost)
