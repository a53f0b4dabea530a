"""Compound mask loss: mean binary cross-entropy, Dice and Lovasz-Softmax per RoI.

Wang & Ren, Symmetry 2025, 17, 1099, Eq. 13-18 and Table 3. Dice as in Milletari et al., 3DV 2016; the Lovasz
extension as in Berman et al., CVPR 2018. Each part is computed per RoI and then averaged over the RoIs.
"""

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from .box_geometry import to_full_precision


def mask_bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy averaged over the pixels (Eq. 13).

    Args:
        logits: Mask logits, shape ``[N, P]``, P pixels a RoI.
        target: Masks, shape ``[N, P]``, values in [0, 1].

    Returns:
        Loss of each RoI, shape ``[N]``.
    """
    return F.binary_cross_entropy_with_logits(logits, target, reduction='none').mean(1)


def mask_dice_loss(probs: Tensor, target: Tensor, eps: float = 1e-7) -> Tensor:
    """``1 - 2 sum(x y) / (sum x + sum y)`` (Eq. 14).

    Args:
        probs: Mask probabilities, shape ``[N, P]``.
        target: Masks, shape ``[N, P]``, values in [0, 1].
        eps: Smallest divisor. A RoI without foreground has loss 1 and no gradient.

    Returns:
        Loss of each RoI, shape ``[N]``.
    """
    return 1 - 2 * (probs * target).sum(1) / (probs.sum(1) + target.sum(1)).clamp(min=eps)


def descending_order(errors: Tensor) -> Tensor:
    """Ranks the pixels of each RoI by descending error.

    One sort of integers that hold the error in their high bits and the pixel's number in their low bits: half to a
    third of the time of ``argsort``, which moves values and indices apart. On the CPU NumPy sorts, since
    ``torch.sort`` carries indices along in any case. Errors that differ by less than 2^-21 (float32, up to 1024
    pixels; else 2^-48) may swap places.

    Args:
        errors: Shape ``[N, P]``, values in [0, 1], without gradient.

    Returns:
        Pixel numbers, shape ``[N, P]``, int64, the largest error first.
    """
    bits = (errors.size(1) - 1).bit_length()
    if errors.dtype == torch.float32 and bits <= 10:
        dtype, levels = torch.int32, float(2 ** (31 - bits) - 1)
    else:
        dtype, levels = torch.int64, 2.0**48
        errors = errors.double()
    pixels = torch.arange(errors.size(1), device=errors.device, dtype=dtype)
    keys = (-(errors * levels).to(dtype) << bits) | pixels
    keys = torch.from_numpy(np.sort(keys.numpy(), axis=1)) if keys.device.type == 'cpu' else keys.sort(1).values
    return (keys & (1 << bits) - 1).long()


def mask_lovasz_loss(probs: Tensor, target: Tensor) -> Tensor:
    """Lovasz extension of the Jaccard loss at the pixels' errors (Eq. 15-17).

    The errors (``1 - x`` on foreground, ``x`` on background) are sorted in descending order within each RoI; the
    extension is their dot product with the increments of the Jaccard loss along that order. The increments are
    piecewise constant, hence carry no gradient.

    Args:
        probs: Mask probabilities, shape ``[N, P]``, float32 or float64.
        target: Masks, shape ``[N, P]``; above 0.5 is foreground.

    Returns:
        Loss of each RoI, shape ``[N]``. Without foreground it is the largest error.
    """
    foreground = (target > 0.5).to(probs.dtype)
    errors = (foreground - probs).abs()
    with torch.no_grad():
        order = descending_order(errors)
        hits = foreground.gather(1, order).cumsum_(1)
        total = hits[:, -1:]
        rank = torch.arange(1, errors.size(1) + 1, device=errors.device, dtype=errors.dtype)
        jaccard = 1 - (total - hits) / (total + rank - hits)
        increments = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(total))
        increments = torch.empty_like(increments).scatter_(1, order, increments)
    return (errors * increments).sum(1)


@MODELS.register_module()
class MBCEDiceLovaszLoss(nn.Module):
    """``bce_weight * L_MBCE + dice_weight * L_Dice + lovasz_weight * L_LS`` (Eq. 18).

    Use it as ``loss_mask`` of ``FCNMaskHead``. A part with weight 0 is not computed, so the rows of Table 3 are
    ``(1, 0, 0)``, ``(1, 1, 0)`` and ``(1, 1, 0.1)``.

    Args:
        bce_weight: Weight of the mean binary cross-entropy.
        dice_weight: Weight of the Dice loss.
        lovasz_weight: Weight of the Lovasz-Softmax loss.
        loss_weight: Factor of the sum.

    Raises:
        ValueError: If a part's weight is negative, or all are 0.
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
            pred: Mask logits, shape ``[N, K, h, w]``, K classes (1 if class-agnostic); N may be 0.
            target: Masks within the RoIs, shape ``[N, h, w]``, values in [0, 1].
            label: Class of each RoI, shape ``[N]``, which of the K maps counts (the indicator of Eq. 13).

        Returns:
            A scalar; without RoIs a zero that is connected to ``pred``.

        Raises:
            ValueError: If the shapes do not fit.
        """
        expected = (pred.size(0), *pred.shape[2:])
        if pred.dim() != 4 or target.shape != expected or label.shape != expected[:1]:
            raise ValueError(
                'expected pred [N, K, h, w], target [N, h, w] and label [N], '
                f'got {[*pred.shape]}, {[*target.shape]} and {[*label.shape]}'
            )
        if not pred.size(0):
            return pred.sum()
        # The map of the true class of each RoI; one index for both axes makes it a copy of whole rows.
        rows = torch.arange(pred.size(0), device=pred.device) * pred.size(1) + label
        logits = to_full_precision(pred.flatten(0, 1).index_select(0, rows)).flatten(1)
        target = target.flatten(1).to(logits)
        loss = logits.new_zeros(())
        if self.bce_weight:
            loss = loss + self.bce_weight * mask_bce_loss(logits, target).mean()
        if self.dice_weight or self.lovasz_weight:
            probs = logits.sigmoid()
        if self.dice_weight:
            loss = loss + self.dice_weight * mask_dice_loss(probs, target).mean()
        if self.lovasz_weight:
            loss = loss + self.lovasz_weight * mask_lovasz_loss(probs, target).mean()
        return self.loss_weight * loss
