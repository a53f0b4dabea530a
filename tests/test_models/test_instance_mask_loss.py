"""The mask loss as heads call it that have one mask of the whole image for each instance."""

import math

from mmdet_ir.models.losses import MBCEDiceLovaszInstanceLoss

import pytest
import torch
from torch import Tensor

GEN = torch.Generator().manual_seed(0)
PRED = torch.randn(4, 3, 5, generator=GEN, dtype=torch.float64)
TARGET = torch.rand(4, 3, 5, generator=GEN) < torch.tensor([0.5, 0.2, 0.0, 1.0])[:, None, None]


def by_definition(logits: Tensor, target: Tensor) -> float:
    """Eq. 13-18 for one instance; the Lovasz extension as the integral of the Jaccard loss over thresholds."""
    p, y = logits.sigmoid().flatten().tolist(), target.flatten().tolist()
    bce = -sum(math.log(a if b else 1 - a) for a, b in zip(p, y, strict=True)) / len(p)
    dice = 1 - 2 * sum(a for a, b in zip(p, y, strict=True) if b) / (sum(p) + sum(y))
    errors = [1 - a if b else a for a, b in zip(p, y, strict=True)]
    lovasz, foreground = 0.0, sum(y)
    levels = [0.0, *sorted(errors)]
    for low, high in zip(levels, levels[1:], strict=False):
        wrong = [e >= high for e in errors]
        kept = foreground - sum(w for w, b in zip(wrong, y, strict=True) if b)
        union = foreground + sum(w for w, b in zip(wrong, y, strict=True) if not b)
        lovasz += (high - low) * (1 - kept / union)
    return bce + dice + 0.1 * lovasz


def test_each_instance_has_its_own_loss() -> None:
    loss = MBCEDiceLovaszInstanceLoss(loss_weight=3.0)(PRED, TARGET, reduction_override='none')
    assert loss.tolist() == pytest.approx(
        [3 * by_definition(p, t) for p, t in zip(PRED, TARGET, strict=True)], rel=1e-6
    )


def test_reductions() -> None:
    loss = MBCEDiceLovaszInstanceLoss()
    each = [by_definition(p, t) for p, t in zip(PRED, TARGET, strict=True)]
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5])
    weighted = sum(w * e for w, e in zip(weight.tolist(), each, strict=True))
    assert loss(PRED, TARGET).item() == pytest.approx(sum(each) / 4, rel=1e-6)
    assert loss(PRED, TARGET, reduction_override='sum').item() == pytest.approx(sum(each), rel=1e-6)
    assert loss(PRED, TARGET, weight=weight, avg_factor=8.0).item() == pytest.approx(weighted / 8, rel=1e-6)


def test_gradient_of_each_instance() -> None:
    pred = PRED.clone().requires_grad_()
    loss = MBCEDiceLovaszInstanceLoss()
    assert torch.autograd.gradcheck(lambda x: loss(x, TARGET, reduction_override='none'), pred)


def test_nothing_is_a_connected_zero() -> None:
    for reduction in ('none', 'mean', 'sum'):
        pred = PRED[:0].clone().requires_grad_()
        value = MBCEDiceLovaszInstanceLoss()(pred, TARGET[:0], reduction_override=reduction).sum()
        value.backward()
        assert value == 0 and pred.grad.shape == pred.shape


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r'one shape, got \[4, 3, 5\] and \[4, 3, 4\]'):
        MBCEDiceLovaszInstanceLoss()(PRED, TARGET[..., :4])
