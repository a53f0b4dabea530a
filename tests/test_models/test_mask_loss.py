"""Mask loss parts against definitions written out over pixels and subsets."""

import itertools

from mmdet_ir.models.losses import MBCEDiceLovaszLoss, mask_bce_loss, mask_dice_loss, mask_lovasz_loss
from mmdet_ir.models.losses.mask_loss import descending_order

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS


def jaccard_loss(mispredicted: set[int], foreground: set[int]) -> float:
    """1 - IoU of the mask that errs on exactly these pixels (Berman et al., Eq. 6)."""
    predicted = foreground ^ mispredicted
    union = foreground | predicted
    return 1 - len(foreground & predicted) / len(union) if union else 0.0


def lovasz_by_permutations(errors: list[float], foreground: set[int]) -> float:
    """Lovasz extension of a submodular function: the maximum over all orders of the telescoping sum."""
    best = -1.0
    for order in itertools.permutations(range(len(errors))):
        total, seen = 0.0, set()
        for pixel in order:
            before = jaccard_loss(seen, foreground)
            seen = seen | {pixel}
            total += errors[pixel] * (jaccard_loss(seen, foreground) - before)
        best = max(best, total)
    return best


@pytest.mark.parametrize('bits', range(32))
def test_lovasz_equals_the_definition_for_every_mask_of_five_pixels(bits: int) -> None:
    target = torch.tensor([[float(bits >> i & 1) for i in range(5)]], dtype=torch.float64)
    probs = torch.rand(1, 5, generator=torch.Generator().manual_seed(bits), dtype=torch.float64)
    errors = [1 - p if t else p for p, t in zip(probs[0].tolist(), target[0].tolist(), strict=True)]
    expected = lovasz_by_permutations(errors, {i for i in range(5) if target[0, i]})
    assert mask_lovasz_loss(probs, target)[0].item() == pytest.approx(expected, abs=1e-12)


def test_lovasz_at_the_corners_is_the_jaccard_loss() -> None:
    """For hard predictions the extension equals the set function: all 2^4 predictions of all 2^4 masks."""
    cases = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    probs, target = cases.repeat(16, 1), cases.repeat_interleave(16, 0)
    expected = []
    for p, t in zip(probs.tolist(), target.tolist(), strict=True):
        foreground = {i for i in range(4) if t[i]}
        expected.append(jaccard_loss({i for i in range(4) if p[i] != t[i]}, foreground))
    torch.testing.assert_close(mask_lovasz_loss(probs, target)[0], torch.tensor(expected))


def test_lovasz_sorts_within_each_roi() -> None:
    gen = torch.Generator().manual_seed(1)
    probs, target = torch.rand(7, 30, generator=gen), (torch.rand(7, 30, generator=gen) > 0.6).float()
    each = torch.cat([mask_lovasz_loss(probs[i : i + 1], target[i : i + 1])[0] for i in range(7)])
    torch.testing.assert_close(mask_lovasz_loss(probs, target)[0], each)
    assert each.std() > 0.01


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('pixels', [1, 2, 784, 1024, 1025, 3136])
def test_order_equals_argsort_up_to_near_ties(dtype: torch.dtype, pixels: int) -> None:
    gen = torch.Generator().manual_seed(pixels)
    errors = torch.rand(5, pixels, generator=gen, dtype=dtype)
    errors[0, : pixels // 2] = errors[0, :1]  # ties
    errors[1] = 0
    errors[2] = 1
    order = descending_order(errors)
    assert (order.sort(1).values == torch.arange(pixels)).all()  # a permutation
    expected = errors.sort(1, descending=True).values
    torch.testing.assert_close(errors.gather(1, order), expected, rtol=0, atol=2**-20)


def test_dice_by_hand() -> None:
    probs, target = torch.tensor([[0.9, 0.2, 0.6, 0.1]]), torch.tensor([[1.0, 0, 1, 1]])
    # sum(x y) = 1.6, sum x = 1.8, sum y = 3
    assert mask_dice_loss(probs, target)[0].item() == pytest.approx(1 - 3.2 / 4.8, rel=1e-6)
    assert mask_dice_loss(target, target)[0].item() == pytest.approx(0, abs=1e-7)
    assert mask_dice_loss(torch.zeros(1, 4), torch.zeros(1, 4))[0].item() == 1


def test_bce_equals_mmdet() -> None:
    """With weights (1, 0, 0) the loss is MMDetection's mask cross-entropy."""
    gen = torch.Generator().manual_seed(2)
    pred, target = torch.randn(6, 4, 9, 9, generator=gen), (torch.rand(6, 9, 9, generator=gen) > 0.5).float()
    label = torch.tensor([0, 3, 1, 1, 2, 0])
    theirs = MODELS.build({'type': 'CrossEntropyLoss', 'use_mask': True})(pred, target, label)
    torch.testing.assert_close(MBCEDiceLovaszLoss(1, 0, 0)(pred, target, label), theirs.squeeze())


def test_compound_equals_a_loop_over_rois() -> None:
    gen = torch.Generator().manual_seed(3)
    pred, target = torch.randn(5, 3, 4, 6, generator=gen), (torch.rand(5, 4, 6, generator=gen) > 0.4).float()
    label = torch.tensor([2, 0, 1, 1, 2])
    total = 0.0
    for i in range(5):
        logits, y = pred[i, label[i]].reshape(-1), target[i].reshape(-1)
        x = 1 / (1 + torch.exp(-logits))
        bce = -(y * x.log() + (1 - y) * (1 - x).log()).sum() / 24
        dice = 1 - 2 * (x * y).sum() / (x.sum() + y.sum())
        errors = torch.where(y > 0, 1 - x, x).tolist()
        lovasz, seen, foreground = 0.0, set(), {j for j in range(24) if y[j]}
        for pixel in sorted(range(24), key=lambda j: -errors[j]):
            before = jaccard_loss(seen, foreground)
            seen.add(pixel)
            lovasz += errors[pixel] * (jaccard_loss(seen, foreground) - before)
        total += (bce + dice + 0.1 * lovasz).item() / 5
    assert MBCEDiceLovaszLoss()(pred, target, label).item() == pytest.approx(total, rel=1e-5)
    assert MBCEDiceLovaszLoss(loss_weight=0.5)(pred, target, label).item() == pytest.approx(total / 2, rel=1e-5)


@pytest.mark.parametrize('weights', [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0.1)])
def test_gradcheck(weights: tuple[float, ...]) -> None:
    gen = torch.Generator().manual_seed(4)
    pred = torch.randn(3, 2, 4, 4, generator=gen, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(3, 4, 4, generator=gen, dtype=torch.float64) > 0.5).double()
    label = torch.tensor([0, 1, 1])
    assert torch.autograd.gradcheck(lambda p: MBCEDiceLovaszLoss(*weights)(p, target, label), (pred,), eps=1e-6)


@pytest.mark.parametrize('weights', [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0.1)])
def test_gradient_points_to_the_target_and_stays_in_the_true_class(weights: tuple[float, ...]) -> None:
    gen = torch.Generator().manual_seed(5)
    pred = torch.randn(3, 4, 5, 5, generator=gen).requires_grad_()
    target = (torch.rand(3, 5, 5, generator=gen) > 0.5).float()
    label = torch.tensor([1, 3, 0])
    MBCEDiceLovaszLoss(*weights)(pred, target, label).backward()
    true_class = torch.zeros(3, 4, dtype=torch.bool)
    true_class[torch.arange(3), label] = True
    assert not pred.grad[~true_class].any()
    grad = pred.grad[true_class]
    assert (grad[target == 1] < 0).all()
    # Lovasz leaves background pixels alone whose error is below that of every foreground pixel.
    background = grad[target == 0]
    assert (background >= 0).all() and (background > 0).float().mean() > 0.5


def test_descent_reaches_the_mask() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 1:7] = 1
    pred = torch.zeros(1, 1, 8, 8, requires_grad=True)
    optimizer = torch.optim.Adam([pred], lr=0.3)
    for _ in range(100):
        optimizer.zero_grad()
        MBCEDiceLovaszLoss()(pred, target, torch.zeros(1, dtype=torch.long)).backward()
        optimizer.step()
    assert ((pred[:, 0] > 0).float() == target).all()


@pytest.mark.parametrize('fill', [0.0, 1.0])
@pytest.mark.parametrize('scale', [0.0, 1e4, -1e4])
def test_empty_and_full_masks_with_extreme_logits(fill: float, scale: float) -> None:
    pred = torch.full((2, 1, 7, 7), scale, requires_grad=True)
    loss = MBCEDiceLovaszLoss()(pred, torch.full((2, 7, 7), fill), torch.zeros(2, dtype=torch.long))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(pred.grad).all()


def test_no_rois() -> None:
    pred = torch.zeros(0, 4, 28, 28, requires_grad=True)
    loss = MBCEDiceLovaszLoss()(pred, torch.zeros(0, 28, 28), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and pred.grad.shape == pred.shape


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_float32_inside_under_autocast(dtype: torch.dtype) -> None:
    gen = torch.Generator().manual_seed(6)
    pred = (torch.randn(4, 2, 28, 28, generator=gen) * 8).to(dtype)
    target = (torch.rand(4, 28, 28, generator=gen) > 0.5).to(dtype)
    label = torch.tensor([0, 1, 0, 1])
    expected = MBCEDiceLovaszLoss()(pred.float(), target.float(), label)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = MBCEDiceLovaszLoss()(pred, target, label)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_parts_are_per_roi() -> None:
    gen = torch.Generator().manual_seed(7)
    logits, target = torch.randn(3, 16, generator=gen), (torch.rand(3, 16, generator=gen) > 0.5).float()
    expected = torch.stack([F.binary_cross_entropy_with_logits(logits[i], target[i]) for i in range(3)])
    torch.testing.assert_close(mask_bce_loss(logits, logits.sigmoid(), target)[0], expected)


def test_points_of_a_roi_are_its_pixels_in_any_order() -> None:
    """PointRend trains on points: those of a whole grid, shuffled, cost what the mask costs."""
    torch.manual_seed(0)
    pred, target = torch.randn(3, 4, 5, 6), torch.rand(3, 5, 6).round()
    label, order = torch.tensor([2, 0, 3]), torch.randperm(30)
    loss = MBCEDiceLovaszLoss()
    points = loss(pred.flatten(2)[..., order], target.flatten(1)[:, order], label)
    torch.testing.assert_close(points, loss(pred, target, label))


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match='weights >= 0, one of them positive'):
        MBCEDiceLovaszLoss(0, 0, 0)
    with pytest.raises(ValueError, match='weights >= 0, one of them positive'):
        MBCEDiceLovaszLoss(dice_weight=-1)
    with pytest.raises(ValueError, match=r'got \[2, 3, 4, 4\], \[2, 5, 4\] and \[2\]'):
        MBCEDiceLovaszLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4), torch.zeros(2, dtype=torch.long))
