"""Losses stay finite, with finite gradients and within their ranges, at the edges of what training can meet."""

import math

from mmdet_ir.models.blendmask import blend_bases
from mmdet_ir.models.losses import (
    FocalCIoULoss,
    FocalEIoULoss,
    FocalSIoULoss,
    MBCEDiceLovaszInstanceLoss,
    MBCEDiceLovaszLoss,
    mask_lovasz_loss,
)
from mmdet_ir.models.losses.mask_loss import descending_order

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmcv.ops import sigmoid_focal_loss
from numeric_cases import (
    LOGITS,
    MASK_KINDS,
    PRECISIONS,
    SEEDS,
    autocast,
    backward,
    boxes,
    cases,
    draw_mask,
    extreme_logits,
)

SIZES = st.sampled_from([(1, 1), (1, 2), (2, 1), (3, 5), (14, 14), (28, 28), (33, 32)])


@cases(100)
@given(
    st.data(),
    st.integers(0, 5),
    PRECISIONS,
    st.sampled_from([FocalCIoULoss, FocalEIoULoss, FocalSIoULoss]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]),
    st.booleans(),
)
def test_box_losses(
    data: st.DataObject, count: int, precision: tuple, kind: type, gamma: float, detach_weight: bool
) -> None:
    dtype, cast = precision
    pred, target = (torch.tensor(data.draw(boxes(count))).reshape(-1, 4) for _ in range(2))
    if dtype == torch.float16:  # of boxes thinner than 0.01 pixels the gradient is above float16's largest number
        pred, target = (x.mul(4).round() / 4 for x in (pred, target))
    pred, target = pred.to(dtype).requires_grad_(), target.to(dtype)
    with autocast(cast):
        losses = kind(gamma=gamma, detach_weight=detach_weight, reduction='none')(pred, target)
    # CIoU is at most 2.5, EIoU 4, SIoU 3.
    assert losses.shape == (count,) and (losses > -1e-5).all() and (losses < 4.001).all()
    backward(losses.mean() if count else losses.sum(), pred)


@cases(100)
@given(st.data(), st.integers(0, 4), st.integers(1, 3), SIZES, PRECISIONS, LOGITS, SEEDS, st.sampled_from([0.1, 30.0]))
def test_mask_loss_of_rois(
    data: st.DataObject,
    count: int,
    classes: int,
    size: tuple[int, int],
    precision: tuple,
    logit: float,
    seed: int,
    spread: float,
) -> None:
    dtype, cast = precision
    logits = extreme_logits((count, classes, *size), dtype, logit, seed, spread)
    masks = [draw_mask(data.draw(st.sampled_from(MASK_KINDS)), *size, seed + i) for i in range(count)]
    target = torch.tensor(np.array(masks)).reshape(count, *size).float()
    label = torch.tensor([data.draw(st.integers(0, classes - 1)) for _ in range(count)], dtype=torch.long)
    parts = []
    for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0.1)):
        logits.grad = None
        with autocast(cast):
            parts.append(MBCEDiceLovaszLoss(*weights)(logits, target, label))
        backward(parts[-1], logits)
        if dtype == torch.float32:  # no pixel's gradient is larger than the weights say
            assert logits.grad.abs().max().item() <= sum(weights) if count else True
    bce, dice, lovasz, total = (part.item() for part in parts)
    assert 0 <= bce <= 1.01e4 and -1e-6 <= dice <= 1 + 1e-6 and 0 <= lovasz <= 1 + 1e-5
    assert total == pytest.approx(bce + dice + 0.1 * lovasz, rel=1e-3, abs=1e-3)


@cases(60)
@given(st.data(), st.integers(0, 4), SIZES, PRECISIONS, LOGITS, SEEDS, st.sampled_from(['mean', 'sum', 'none']))
def test_mask_loss_of_instances(
    data: st.DataObject, count: int, size: tuple[int, int], precision: tuple, logit: float, seed: int, reduction: str
) -> None:
    dtype, cast = precision
    logits = extreme_logits((count, *size), dtype, logit, seed, 5.0)
    masks = [draw_mask(data.draw(st.sampled_from(MASK_KINDS)), *size, seed + i) for i in range(count)]
    target = torch.tensor(np.array(masks)).reshape(count, *size).bool()
    weight = data.draw(st.sampled_from([None, torch.zeros(count), torch.ones(count)]))
    with autocast(cast):
        loss = MBCEDiceLovaszInstanceLoss()(logits, target, weight, reduction_override=reduction)
    backward(loss, logits)


@cases(60)
@given(st.integers(0, 3), st.integers(1, 5), PRECISIONS, LOGITS, LOGITS, SEEDS)
def test_blended_masks(count: int, bases: int, precision: tuple, base: float, attention: float, seed: int) -> None:
    dtype, cast = precision
    pooled = extreme_logits((count, bases, 8, 8), dtype, base, seed, 1.0)
    attentions = extreme_logits((count, bases, 3, 3), dtype, attention, seed + 1, 1.0)
    with autocast(cast):
        logits = blend_bases(pooled, attentions)
    assert logits.shape == (count, 8, 8)
    if count:  # an average of the bases
        assert logits.abs().max().item() <= pooled.abs().max().item() * 1.001
    backward(logits.square().sum() / 1e8, pooled, attentions)


@cases(60)
@given(st.integers(1, 5), st.integers(1, 4), PRECISIONS, LOGITS, st.sampled_from([0.0, 0.5, 2.0, 5.0]), SEEDS)
def test_focal_loss_operator(
    count: int, classes: int, precision: tuple, logit: float, gamma: float, seed: int
) -> None:
    dtype, cast = precision
    logits = extreme_logits((count, classes), dtype, logit, seed, 5.0)
    target = torch.from_numpy(np.random.default_rng(seed).integers(0, classes + 1, count))
    with autocast(cast):
        loss = sigmoid_focal_loss(logits, target, gamma, 0.25, None, 'none')
    assert (loss >= 0).all() and (loss <= 1.01e4).all()
    backward(loss.float().sum(), logits)


@pytest.mark.parametrize('kind', [FocalCIoULoss, FocalEIoULoss, FocalSIoULoss])
def test_swapped_corners_cost_no_more_than_a_miss(kind: type) -> None:
    """The box around both once had no size here, and the distance of the centres was divided by 1e-7 pixels."""
    pred = torch.tensor([[10.0, 10, 10, 10]], requires_grad=True)
    loss = kind(gamma=0)(pred, torch.tensor([[10.0, 10, 10, 4]]))
    assert 1 <= loss.item() <= 4
    backward(loss, pred)
    assert pred.grad.abs().max() < 1e7


@pytest.mark.parametrize('pixels', [1, 2, 1024, 1025, 32768, 32769, 70000])
def test_errors_are_ranked_in_masks_of_any_size(pixels: int) -> None:
    """Above 32768 pixels, those of SparseInst and CondInst on large images, errors above 0.5 once came last."""
    gen = torch.Generator().manual_seed(0)
    errors = torch.rand(1, pixels, generator=gen)
    errors[0, : pixels // 4] = 1.0
    order = descending_order(errors)
    assert (order.sort(1).values == torch.arange(pixels)).all()
    ranked = errors.gather(1, order)
    assert (ranked.diff(dim=1) <= 2**-20).all()


def test_lovasz_loss_of_a_large_mask_is_the_jaccard_loss_of_hard_predictions() -> None:
    """At probabilities of 0 and 1 the extension is the set function: 1 - intersection / union."""
    side, target, probs = 260, torch.zeros(260, 260), torch.zeros(260, 260)
    target[:, :100] = 1
    probs[:, 60:160] = 1
    value, _ = mask_lovasz_loss(probs.view(1, side * side), target.view(1, side * side))
    assert value.item() == pytest.approx(1 - 40 / 160, abs=1e-4)
    soft, _ = mask_lovasz_loss(torch.full((1, side * side), 0.6), target.view(1, side * side))
    # Errors: 0.6 on the 160 columns of background, 0.4 on the foreground. Those of 0.6 come first and raise the loss
    # to 1 - 100 / 260, the others raise it to 1.
    first = 1 - 100 / 260
    assert soft.item() == pytest.approx(0.6 * first + 0.4 * (1 - first), abs=1e-4)
    assert not math.isclose(soft.item(), 0.5, abs_tol=1e-3)
