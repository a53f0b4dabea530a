"""Compound mask loss: mean binary cross-entropy, Dice and Lovasz-Softmax per RoI.

Wang & Ren, Symmetry 2025, 17, 1099, Eq. 13-18 and Table 3. Dice as in Milletari et al., 3DV 2016; the Lovasz
extension as in Berman et al., CVPR 2018. Each part is computed per RoI and then averaged over the RoIs.

The gradient of each part is a short formula, and they share the probabilities and one pass back to the logits. So the
parts return value and gradient together, and one autograd function joins them: about 0.7 of the time of autograd
through two dozen small operations.
"""

import numpy as np
import torch
from mmdet.models.losses.utils import weight_reduce_loss
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from ..utils import to_full_precision


def mask_bce_loss(logits: Tensor, probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy averaged over the pixels (Eq. 13).

    Args:
        logits: Mask logits, shape ``[N, P]``, P pixels a RoI.
        probs: Their sigmoid, shape ``[N, P]``.
        target: Masks, shape ``[N, P]``, values in [0, 1].

    Returns:
        Loss of each RoI, shape ``[N]``, and its gradient with respect to the logits, shape ``[N, P]``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.losses import mask_bce_loss
        >>> logits = torch.zeros(1, 4)  # probabilities of 0.5
        >>> loss, gradient = mask_bce_loss(logits, logits.sigmoid(), torch.tensor([[1.0, 1, 0, 0]]))
        >>> loss, gradient  # ln 2; (p - t) / 4
        (tensor([0.6931]), tensor([[-0.1250, -0.1250,  0.1250,  0.1250]]))
    """
    # -log(sigmoid(x)) = relu(-x) - log(max(p, 1 - p)); the larger of p and 1 - p is never near 0.
    loss = logits.relu() - logits * target - torch.max(probs, 1 - probs).log()
    return loss.mean(1), (probs - target) / logits.size(1)


def mask_dice_loss(probs: Tensor, target: Tensor, eps: float = 1e-7) -> tuple[Tensor, Tensor]:
    """``1 - 2 sum(x y) / (sum x + sum y)`` (Eq. 14).

    Args:
        probs: Mask probabilities, shape ``[N, P]``.
        target: Masks, shape ``[N, P]``, values in [0, 1].
        eps: Smallest divisor. A RoI without foreground has loss 1 and no gradient.

    Returns:
        Loss of each RoI, shape ``[N]``, and its gradient with respect to the probabilities, shape ``[N, P]``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.losses import mask_dice_loss
        >>> loss, gradient = mask_dice_loss(torch.full((1, 4), 0.5), torch.tensor([[1.0, 1, 0, 0]]))
        >>> loss  # 1 - 2 * 1 / (2 + 2)
        tensor([0.5000])
    """
    total = (probs.sum(1, keepdim=True) + target.sum(1, keepdim=True)).clamp(min=eps)
    ratio = 2 * (probs * target).sum(1, keepdim=True) / total
    return (1 - ratio).squeeze(1), (ratio - 2 * target) / total


def descending_order(errors: Tensor) -> Tensor:
    """Ranks the pixels of each RoI by descending error.

    One sort of integers that hold the error in their high bits and the pixel's number in their low bits: half to a
    third of the time of ``argsort``, which moves values and indices apart. On the CPU NumPy sorts, since
    ``torch.sort`` carries indices along in any case. Errors that differ by less than 2^-21 (float32, up to 1024
    pixels) or ``2^-48`` (up to 32768; with each doubling of the pixels twice as much) may swap places.

    Args:
        errors: Shape ``[N, P]``, values in [0, 1], without gradient.

    Returns:
        Pixel numbers, shape ``[N, P]``, int64, the largest error first.
    """
    bits = (errors.size(1) - 1).bit_length()
    if errors.dtype == torch.float32 and bits <= 10:
        dtype, levels = torch.int32, float(2 ** (31 - bits) - 1)
    else:
        dtype, levels = torch.int64, 2.0 ** min(48, 63 - bits)  # a larger key would leave the integer's range
        errors = errors.double()
    pixels = torch.arange(errors.size(1), device=errors.device, dtype=dtype)
    keys = (-(errors * levels).to(dtype) << bits) | pixels
    keys = torch.from_numpy(np.sort(keys.numpy(), axis=1)) if keys.device.type == 'cpu' else keys.sort(1).values
    return (keys & (1 << bits) - 1).long()


def mask_lovasz_loss(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Lovasz extension of the Jaccard loss at the pixels' errors (Eq. 15-17).

    The errors (``1 - x`` on foreground, ``x`` on background) are sorted in descending order within each RoI; the
    extension is their dot product with the increments of the Jaccard loss along that order. The increments are
    piecewise constant, hence they are the gradient with respect to the errors.

    Args:
        probs: Mask probabilities, shape ``[N, P]``, float32 or float64.
        target: Masks, shape ``[N, P]``; above 0.5 is foreground.

    Returns:
        Loss of each RoI, shape ``[N]`` (without foreground it is the largest error), and its gradient with respect to
        the probabilities, shape ``[N, P]``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.losses import mask_lovasz_loss
        >>> loss, gradient = mask_lovasz_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
        >>> loss  # half of the target is missed: one minus the Jaccard index
        tensor([0.5000])
    """
    foreground = (target > 0.5).to(probs.dtype)
    errors = (foreground - probs).abs()
    order = descending_order(errors)
    hits = foreground.gather(1, order).cumsum_(1)
    # Once i pixels err, the intersection is the foreground that is left, and the union has those i pixels more.
    intersection = hits[:, -1:] - hits
    rank = torch.arange(1, errors.size(1) + 1, device=errors.device, dtype=errors.dtype)
    iou = intersection / (intersection + rank)
    drops = torch.cat([1 - iou[:, :1], iou[:, :-1] - iou[:, 1:]], 1)
    increments = torch.empty_like(drops).scatter_(1, order, drops)
    # d error / d probability is -1 on foreground and 1 on background.
    return (errors * increments).sum(1), torch.addcmul(increments, increments, foreground, value=-2)


class _CompoundMaskLoss(torch.autograd.Function):
    """Weighted sum of the parts for each RoI (Eq. 18)."""

    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, target: Tensor, weights: tuple[float, float, float]) -> Tensor:
        bce_weight, dice_weight, lovasz_weight = weights
        probs = logits.sigmoid()
        loss, grad_probs = logits.new_zeros(len(logits)), 0.0
        for weight, part in ((dice_weight, mask_dice_loss), (lovasz_weight, mask_lovasz_loss)):
            if weight:
                value, grad = part(probs, target)
                loss, grad_probs = loss + weight * value, grad_probs + weight * grad
        grad_logits = grad_probs * probs * (1 - probs)
        if bce_weight:
            value, grad = mask_bce_loss(logits, probs, target)
            loss, grad_logits = loss + bce_weight * value, grad_logits + bce_weight * grad
        ctx.save_for_backward(grad_logits)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_output: Tensor) -> tuple[Tensor, None, None]:
        (grad_logits,) = ctx.saved_tensors
        return grad_logits * grad_output[:, None], None, None


@MODELS.register_module()
class MBCEDiceLovaszLoss(nn.Module):
    """``bce_weight * L_MBCE + dice_weight * L_Dice + lovasz_weight * L_LS`` (Eq. 18).

    Use it as ``loss_mask`` of ``FCNMaskHead``; for heads that call a Dice loss there is
    :class:`MBCEDiceLovaszInstanceLoss`. A part with weight 0 is not computed, so the rows of Table 3 are
    ``(1, 0, 0)``, ``(1, 1, 0)`` and ``(1, 1, 0.1)``.

    Args:
        bce_weight: Weight of the mean binary cross-entropy.
        dice_weight: Weight of the Dice loss.
        lovasz_weight: Weight of the Lovasz-Softmax loss.
        loss_weight: Factor of the sum.

    Raises:
        ValueError: If a part's weight is negative, or all are 0.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import MBCEDiceLovaszLoss
        >>> logits = torch.zeros(1, 2, 2, 2)  # one RoI, two classes
        >>> target = torch.tensor([[[1.0, 1], [0, 0]]])
        >>> loss = MBCEDiceLovaszLoss(lovasz_weight=0)(logits, target, torch.tensor([1]))
        >>> print(f'{loss.item():.4f}')  # ln 2 + 1 / 2
        1.1931
    """

    def __init__(
        self,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        lovasz_weight: float = 0.1,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        weights = (bce_weight, dice_weight, lovasz_weight)
        if min(weights) < 0 or not any(weights):
            raise ValueError(f'expected weights >= 0, one of them positive, got {weights}')
        self.bce_weight, self.dice_weight, self.lovasz_weight = weights
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Computes the loss in float32 or better, whatever the autocast state.

        Args:
            pred: Mask logits, shape ``[N, K, h, w]``, or ``[N, K, P]`` at P points of each RoI (PointRend); K classes
                (1 if class-agnostic); N may be 0.
            target: Masks within the RoIs, shape ``[N, h, w]`` or ``[N, P]``, values in [0, 1].
            label: Class of each RoI, shape ``[N]``, which of the K maps counts (the indicator of Eq. 13).

        Returns:
            A scalar; without RoIs a zero that is connected to ``pred``.

        Raises:
            ValueError: If the shapes do not fit.
        """
        expected = (pred.size(0), *pred.shape[2:])
        if pred.dim() not in (3, 4) or target.shape != expected or label.shape != expected[:1]:
            raise ValueError(
                'expected pred [N, K, h, w] or [N, K, P], target [N, h, w] or [N, P], and label [N], '
                f'got {[*pred.shape]}, {[*target.shape]} and {[*label.shape]}'
            )
        if not pred.size(0):
            return pred.sum()
        # The map of the true class of each RoI; one index for both axes makes it a copy of whole rows.
        rows = torch.arange(pred.size(0), device=pred.device) * pred.size(1) + label
        logits = to_full_precision(pred.flatten(0, 1).index_select(0, rows)).flatten(1)
        target = target.flatten(1).to(logits)
        weights = (self.bce_weight, self.dice_weight, self.lovasz_weight)
        return self.loss_weight * _CompoundMaskLoss.apply(logits, target, weights).mean()


@MODELS.register_module()
class MBCEDiceLovaszInstanceLoss(MBCEDiceLovaszLoss):
    """The same loss for heads that call their ``loss_mask`` as MMDetection calls ``DiceLoss``.

    These are the heads of CondInst, SOLOv2 and RTMDet-Ins. Their masks span the image instead of a RoI, so the
    cross-entropy, a mean over the image's pixels, is small for small targets, while the Dice and Lovasz parts are as
    large as in a RoI.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import MBCEDiceLovaszInstanceLoss
        >>> loss = MBCEDiceLovaszInstanceLoss(lovasz_weight=0)(torch.zeros(1, 4), torch.tensor([[1.0, 1, 0, 0]]))
        >>> print(f'{loss.item():.4f}')  # ln 2 + 1 / 2
        1.1931
    """

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        reduction_override: str | None = None,
        avg_factor: float | None = None,
    ) -> Tensor:
        """Computes the loss in float32 or better, whatever the autocast state.

        Args:
            pred: Mask logits, shape ``[N, ...]``; N may be 0.
            target: Masks of the same shape, bool or values in [0, 1].
            weight: Weight of each instance, shape ``[N]``.
            reduction_override: ``'none'``, ``'mean'`` (default) or ``'sum'``.
            avg_factor: Divisor of the sum instead of N, with ``'mean'`` only.

        Returns:
            A scalar, or ``[N]`` with ``'none'``; without instances a zero that is connected to ``pred``.

        Raises:
            ValueError: If the shapes differ.
        """
        if pred.shape != target.shape:
            raise ValueError(f'expected pred and target of one shape, got {[*pred.shape]} and {[*target.shape]}')
        reduction = reduction_override or 'mean'
        if not pred.size(0):
            return pred.flatten(1).sum(1) if reduction == 'none' else pred.sum()
        logits = to_full_precision(pred.flatten(1))
        weights = (self.bce_weight, self.dice_weight, self.lovasz_weight)
        loss = _CompoundMaskLoss.apply(logits, target.flatten(1).to(logits), weights)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction, avg_factor)
