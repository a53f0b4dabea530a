"""Box losses against values worked out by hand, torchvision, and the equations in plain scalar Python."""

import math

from mmdet_ir.models.losses import FocalCIoULoss, FocalEIoULoss, FocalSIoULoss
from mmdet_ir.models.losses.focal_iou_loss import ciou_cost, focal_iou_loss, siou_cost

import pytest
import torch
from mmdet.registry import MODELS
from torchvision.ops import complete_box_iou_loss

FAMILY = (FocalCIoULoss, FocalEIoULoss, FocalSIoULoss)


def scalar_siou(p: list[float], t: list[float]) -> tuple[float, float]:
    """Eq. 7-11 as printed, one pair of boxes, with arcsin. Returns (IoU, SIoU loss)."""
    w, h, wt, ht = p[2] - p[0], p[3] - p[1], t[2] - t[0], t[3] - t[1]
    overlap = max(0.0, min(p[2], t[2]) - max(p[0], t[0])) * max(0.0, min(p[3], t[3]) - max(p[1], t[1]))
    iou = overlap / (w * h + wt * ht - overlap)
    dx, dy = (p[0] + p[2] - t[0] - t[2]) / 2, (p[1] + p[3] - t[1] - t[3]) / 2
    c_x, c_y = max(p[2], t[2]) - min(p[0], t[0]), max(p[3], t[3]) - min(p[1], t[1])
    sigma = math.hypot(dx, dy)
    x = abs(dy) / sigma
    angle = 1 - 2 * math.sin(math.asin(x) - math.pi / 4) ** 2
    g = 2 - angle
    delta = sum(1 - math.exp(-g * rho) for rho in ((dx / c_x) ** 2, (dy / c_y) ** 2))
    omega = sum((1 - math.exp(-abs(a - b) / max(a, b))) ** 4 for a, b in ((w, wt), (h, ht)))
    return iou, 1 - iou + (delta + omega) / 2


def random_boxes(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of non-square boxes that overlap in part, float64."""
    gen = torch.Generator().manual_seed(seed)
    xy = torch.rand(n, 2, generator=gen, dtype=torch.float64) * 50
    wh = 8 + torch.rand(n, 2, generator=gen, dtype=torch.float64) * 40
    target = torch.cat([xy, xy + wh], 1)
    jitter = (torch.rand(n, 4, generator=gen, dtype=torch.float64) - 0.5) * 10
    return target + jitter, target


def test_siou_by_hand() -> None:
    # Centres (5, 2.5) and (8, 6.5): dx = -3, dy = -4, sigma = 5, x = 0.8. sin(2 arcsin 0.8) = 2 * 0.8 * 0.6 = 0.96.
    # Enclosing box 14 x 9. Overlap x 2..10 = 8, y 4..5 = 1: 8. Union 10 * 5 + 12 * 5 - 8 = 102.
    pred, target = torch.tensor([[0.0, 0, 10, 5]]), torch.tensor([[2.0, 4, 14, 9]])
    delta = 2 - math.exp(-1.04 * (3 / 14) ** 2) - math.exp(-1.04 * (4 / 9) ** 2)
    omega = (1 - math.exp(-2 / 12)) ** 4
    expected = 1 - 8 / 102 + (delta + omega) / 2
    assert FocalSIoULoss(gamma=0)(pred, target).item() == pytest.approx(expected, rel=1e-6)
    assert FocalSIoULoss()(pred, target).item() == pytest.approx((8 / 102) ** 0.5 * expected, rel=1e-6)


def test_siou_equals_the_printed_equations() -> None:
    pred, target = random_boxes(200, seed=0)
    for gamma in (0, 0.5, 1.0):
        loss = FocalSIoULoss(gamma=gamma, reduction='none')(pred, target)
        expected = [
            (lambda iou, s: iou**gamma * s)(*scalar_siou(p, t))
            for p, t in zip(pred.tolist(), target.tolist(), strict=True)
        ]
        torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))


def test_ciou_equals_torchvision() -> None:
    pred, target = random_boxes(200, seed=1)
    loss = FocalCIoULoss(gamma=0, reduction='none')(pred, target)
    torch.testing.assert_close(loss, complete_box_iou_loss(pred, target), rtol=1e-6, atol=1e-6)


def test_ciou_gradient_equals_torchvision() -> None:
    pred, target = random_boxes(50, seed=2)
    ours, theirs = pred.clone().requires_grad_(), pred.clone().requires_grad_()
    FocalCIoULoss(gamma=0, reduction='sum')(ours, target).backward()
    complete_box_iou_loss(theirs, target, reduction='sum').backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)


def test_eiou_by_hand() -> None:
    # Boxes 10 x 5 and 12 x 5 as above: sigma^2 = 25, enclosing 14 x 9, widths differ by 2, heights not at all.
    pred, target = torch.tensor([[0.0, 0, 10, 5]]), torch.tensor([[2.0, 4, 14, 9]])
    expected = 1 - 8 / 102 + 25 / (14**2 + 9**2) + 2**2 / 14**2
    assert FocalEIoULoss(gamma=0)(pred, target).item() == pytest.approx(expected, rel=1e-6)
    # and one whose heights differ too: 10 x 5 at the origin against 4 x 8
    target = torch.tensor([[0.0, 0, 4, 8]])
    expected = 1 - 20 / 62 + (3**2 + 1.5**2) / (10**2 + 8**2) + 6**2 / 10**2 + 3**2 / 8**2
    assert FocalEIoULoss(gamma=0)(pred, target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('loss_type', FAMILY)
class TestFamily:
    def test_zero_at_the_target(self, loss_type: type) -> None:
        boxes = random_boxes(10, seed=3)[1]
        torch.testing.assert_close(loss_type(reduction='none')(boxes, boxes), torch.zeros(10, dtype=torch.float64))

    @pytest.mark.parametrize(
        'direction', [(1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 1), (0, 0, 1, 0), (-1, 0, 1, 0), (0, -1, 0, 2)]
    )
    def test_grows_with_the_error(self, loss_type: type, direction: tuple[int, ...]) -> None:
        target = torch.tensor([[20.0, 30, 60, 50]])
        steps = torch.arange(0, 8, dtype=torch.float32)[:, None] * torch.tensor(direction, dtype=torch.float32)
        loss = loss_type(gamma=0, reduction='none')(target + steps, target.expand(8, 4))
        assert (loss.diff() > 0).all(), loss

    @pytest.mark.parametrize('gamma', [0, 0.5, 1.0])
    @pytest.mark.parametrize('detach', [True, False])
    def test_gradcheck(self, loss_type: type, gamma: float, detach: bool) -> None:
        pred, target = random_boxes(6, seed=4)
        loss = loss_type(gamma=gamma, detach_weight=detach, reduction='sum')
        pred.requires_grad_()
        if gamma and detach:
            # Finite differences see through a detached weight, so it enters as a constant here.
            weight = loss_type(gamma=gamma, reduction='none')(pred, target) / loss_type(gamma=0, reduction='none')(
                pred, target
            )
            grad = torch.autograd.grad(loss(pred, target), pred)[0]
            plain = loss_type(gamma=0, reduction='sum')
            expected = torch.autograd.grad(plain(pred, target, weight=weight.detach()), pred)[0]
            torch.testing.assert_close(grad, expected)
        elif loss_type is FocalCIoULoss:
            # CIoU's alpha is a constant to the gradient by definition; compared with torchvision above.
            assert torch.isfinite(torch.autograd.grad(loss(pred, target), pred)[0]).all()
        else:
            assert torch.autograd.gradcheck(lambda p: loss(p, target), (pred,), eps=1e-6, atol=1e-5)

    def test_descent_reaches_the_target(self, loss_type: type) -> None:
        target = torch.tensor([[40.0, 40, 100, 70]])
        box = torch.tensor([[52.0, 33, 96, 78]], requires_grad=True)
        loss = loss_type(gamma=0.5)
        optimizer = torch.optim.Adam([box], lr=0.5)
        before = (box - target).abs().max().item()
        for _ in range(300):
            optimizer.zero_grad()
            loss(box, target).backward()
            optimizer.step()
        assert before > 10 and (box - target).abs().max().item() < 1.5

    def test_functional_equals_module(self, loss_type: type) -> None:
        pred, target = random_boxes(20, seed=5)
        weight = torch.linspace(0, 1, 20, dtype=torch.float64)
        module = loss_type(gamma=0.25, loss_weight=3.0)(pred, target, weight, avg_factor=7)
        each = focal_iou_loss(pred, target, cost=loss_type.cost, gamma=0.25, reduction='none')
        torch.testing.assert_close(module, 3.0 * (each * weight).sum() / 7)

    def test_weight_of_four_columns(self, loss_type: type) -> None:
        pred, target = random_boxes(5, seed=6)
        weight = torch.tensor([0.0, 1, 1, 0, 1], dtype=torch.float64)
        a = loss_type()(pred, target, weight[:, None].expand(5, 4), avg_factor=3)
        b = loss_type(reduction='none')(pred, target)[[1, 2, 4]].sum() / 3
        torch.testing.assert_close(a, b)

    def test_reduction_override(self, loss_type: type) -> None:
        pred, target = random_boxes(5, seed=7)
        each = loss_type()(pred, target, reduction_override='none')
        assert each.shape == (5,)
        torch.testing.assert_close(loss_type()(pred, target, reduction_override='sum'), each.sum())

    def test_no_boxes(self, loss_type: type) -> None:
        pred = torch.zeros(0, 4, requires_grad=True)
        for kwargs in ({}, {'avg_factor': 8.0}, {'weight': torch.zeros(0, 4), 'avg_factor': 0.0}):
            loss = loss_type()(pred, torch.zeros(0, 4), **kwargs)
            loss.backward()
            assert loss.item() == 0 and pred.grad.shape == (0, 4)

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_float32_inside_under_autocast(self, loss_type: type, dtype: torch.dtype) -> None:
        # 500 px boxes: their area overflows float16.
        pred = torch.tensor([[0.0, 0, 500, 400], [10, 20, 40, 30]])
        target = torch.tensor([[10.0, 10, 520, 400], [12, 20, 44, 33]])
        expected = loss_type()(pred.to(dtype).float(), target.to(dtype).float())
        with torch.autocast('cpu', dtype=torch.bfloat16):
            loss = loss_type()(pred.to(dtype), target.to(dtype))
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected)

    def test_degenerate_boxes_are_finite(self, loss_type: type) -> None:
        target = torch.tensor([[10.0, 10, 20, 30]]).expand(6, 4)
        pred = torch.tensor(
            [
                [15.0, 20, 15, 20],
                [20, 30, 10, 10],
                [10, 10, 20, 10],
                [5000, 5000, 5001, 5001],
                [15, 10, 15, 30],
                [10, 10, 20, 30],
            ],
            requires_grad=True,
        )
        for detach in (True, False):
            loss = loss_type(detach_weight=detach, reduction='none')(pred, target)
            (grad,) = torch.autograd.grad(loss.sum(), pred)
            assert torch.isfinite(loss).all() and torch.isfinite(grad).all()

    def test_built_from_the_registry(self, loss_type: type) -> None:
        loss = MODELS.build({'type': loss_type.__name__, 'gamma': 0.75, 'loss_weight': 2.0})
        pred, target = random_boxes(4, seed=8)
        torch.testing.assert_close(loss(pred, target), 2 * loss_type(gamma=0.75)(pred, target))

    def test_mistakes_are_named(self, loss_type: type) -> None:
        with pytest.raises(ValueError, match='gamma >= 0, got -1'):
            loss_type(gamma=-1)
        with pytest.raises(ValueError, match="'none', 'mean' or 'sum', got 'average'"):
            loss_type(reduction='average')
        with pytest.raises(ValueError, match=r'\[N, 4\], got \[2, 4\] and \[3, 4\]'):
            loss_type()(torch.rand(2, 4), torch.rand(3, 4))


def test_gradient_through_the_weight_pushes_poor_boxes_away() -> None:
    """Why ``detach_weight`` is on: for IoU < gamma / (1 + gamma) the product's gradient points away."""
    target = torch.tensor([[0.0, 0, 10, 10]], dtype=torch.float64)

    def pull(shift: float, detach: bool) -> float:
        pred = (target + torch.tensor([[shift, 0, shift, 0]], dtype=torch.float64)).requires_grad_()
        (grad,) = torch.autograd.grad(FocalSIoULoss(gamma=1.0, detach_weight=detach)(pred, target), pred)
        return grad[0, [0, 2]].sum().item()  # > 0: descent moves the box back to the target

    assert pull(8, True) > 0 and pull(2, True) > 0 and pull(2, False) > 0
    assert pull(8, False) < 0


def test_angle_has_a_gradient_where_arcsin_has_none() -> None:
    """Centres exactly above each other: x = 1 in Eq. 8."""
    pred = torch.tensor([[0.0, 5, 10, 20]], requires_grad=True)
    (grad,) = torch.autograd.grad(FocalSIoULoss()(pred, torch.tensor([[0.0, 0, 10, 15]])), pred)
    assert torch.isfinite(grad).all() and grad[0, 1] > 0 and grad[0, 3] > 0


def test_costs_differ() -> None:
    from mmdet_ir.models.losses import box_geometry

    g = box_geometry(torch.tensor([[0.0, 0, 10, 5]]), torch.tensor([[2.0, 4, 14, 9]]))
    assert not torch.isclose(siou_cost(g, 1e-7), ciou_cost(g, 1e-7))
