"""Sigmoid focal loss (Lin et al., ICCV 2017) with mmcv's signatures."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._dtype import upcast


def _terms(input: Tensor, target: Tensor, weight: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logit of the wanted side of each class, (N, C); its sign; its factor of alpha and class weight."""
    classes = torch.arange(input.shape[1], device=input.device)
    positive = target[:, None] == classes
    sign = positive.to(input.dtype) * 2 - 1
    factor = torch.where(positive, alpha, 1 - alpha).to(input.dtype)
    if weight.numel():
        factor = factor * weight.to(input.dtype)[target][:, None]
    return input * sign, sign, factor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fills ``output`` (N, C) with ``-alpha_t (1 - p_t)^gamma log(p_t)``.

    Args:
        input: (N, C) logits.
        target: (N,) int64 class; C stands for background.
        weight: (C,) factor by target class, or empty.
        output: Written in place.
        gamma: Focusing exponent.
        alpha: Weight of the positive class; the others weigh ``1 - alpha``.
    """
    logit, _, factor = _terms(*upcast(input), target, weight, alpha)
    output.copy_(-factor * torch.sigmoid(-logit) ** gamma * F.logsigmoid(logit))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fills ``grad_input`` (N, C) with the derivative of the loss by the logits."""
    logit, sign, factor = _terms(*upcast(input), target, weight, alpha)
    miss = torch.sigmoid(-logit)
    # d/dz of -(1 - p)^gamma log(p), with p = sigmoid(z): (1 - p)^gamma * (gamma * p * log(p) - (1 - p))
    slope = miss**gamma * (gamma * torch.sigmoid(logit) * F.logsigmoid(logit) - miss)
    grad_input.copy_(factor * sign * slope)
