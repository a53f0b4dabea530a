"""Sigmoid focal loss of the stand-in, called through mmcv, against the paper's formula and autograd."""

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss
from torch import Tensor

GAMMA, ALPHA = 1.7, 0.3


def formula(logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """-alpha_t (1 - p_t)^gamma log(p_t), for each image and class."""
    rows = []
    for row, label in zip(logits, target.tolist(), strict=True):
        terms = []
        for c, logit in enumerate(row):
            p = 1 / (1 + torch.exp(-logit))
            p_t, alpha_t = (p, ALPHA) if c == label else (1 - p, 1 - ALPHA)
            factor = 1 if weight is None else weight[label]
            terms.append(-factor * alpha_t * (1 - p_t) ** GAMMA * torch.log(p_t))
        rows.append(torch.stack(terms))
    return torch.stack(rows)


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_against_the_formula(reduction: str, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(5, 3, dtype=torch.float64, generator=generator) * 3).requires_grad_()
    # Class 3 is background where no class weight asks for a class.
    target = torch.tensor([0, 2, 1, 1, 0 if weighted else 3])
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    each = formula(logits, target, weight)
    expected = {'none': each, 'mean': each.sum() / len(logits), 'sum': each.sum()}[reduction]
    got = sigmoid_focal_loss(logits, target, GAMMA, ALPHA, weight, reduction)
    torch.testing.assert_close(got, expected)
    gradients = [torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0] for loss in (got, expected)]
    torch.testing.assert_close(*gradients)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1]), GAMMA, ALPHA, None, 'none')
    loss.sum().backward()
    # (1 - p) -> 1 and -log(p) -> 200 on both sides.
    torch.testing.assert_close(loss, torch.tensor([[200 * (1 - ALPHA), 200 * ALPHA]]))
    torch.testing.assert_close(logits.grad, torch.tensor([[1 - ALPHA, -ALPHA]]))


def test_half_precision() -> None:
    logits = torch.tensor([[0.5, -1.5]], dtype=torch.float16, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0]), GAMMA, ALPHA, None, 'none')
    expected = formula(logits.detach().double(), torch.tensor([0]), None)
    assert loss.dtype == torch.float16
    torch.testing.assert_close(loss.double(), expected, rtol=2e-3, atol=1e-4)
