"""RoIAlign and RoIPool of the stand-in, called through mmcv, against loops that are written out here."""

import math
from types import SimpleNamespace

from mmdet_ir.compat import operator_backend
from mmdet_ir.compat.ops import roi

import pytest
import torch
from mmcv.ops import RoIAlign, RoIPool, roi_align, roi_pool
from torch import Tensor

SCALE, BINS = 0.5, (3, 2)
# Image, x1, y1, x2, y2: inside, across the edge, smaller than a cell, far outside.
ROIS = [[0, 3.3, 2.1, 15.2, 9.7], [1, -4, 6, 9.5, 21], [0, 5.2, 5.1, 5.9, 5.6], [1, 60, 60, 80, 70]]


def bilinear(plane: Tensor, y: float, x: float) -> float:
    """Value between cells; the border is repeated by up to one cell, and all is zero beyond."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    total = 0.0
    for row in {math.floor(y), min(math.floor(y) + 1, height - 1)}:
        for column in {math.floor(x), min(math.floor(x) + 1, width - 1)}:
            weight = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            total += weight * plane[row, column].item()
    return total


def slow_roi_align(features: Tensor, rois: Tensor, samples: int, aligned: bool) -> Tensor:
    output = torch.zeros(len(rois), features.shape[1], *BINS, dtype=features.dtype)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner * SCALE - (0.5 if aligned else 0) for corner in corners)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        bin_height, bin_width = height / BINS[0], width / BINS[1]
        rows, columns = samples or math.ceil(bin_height), samples or math.ceil(bin_width)
        for i in range(BINS[0]):
            for j in range(BINS[1]):
                ys = [y1 + (i + (k + 0.5) / rows) * bin_height for k in range(rows)]
                xs = [x1 + (j + (k + 0.5) / columns) * bin_width for k in range(columns)]
                for c in range(features.shape[1]):
                    values = [bilinear(features[int(image), c], y, x) for y in ys for x in xs]
                    output[r, c, i, j] = sum(values) / len(values)
    return output


@pytest.fixture
def features() -> Tensor:
    return torch.randn(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('samples', [0, 2])
def test_roi_align_against_a_loop(features: Tensor, samples: int, aligned: bool) -> None:
    rois = torch.tensor(ROIS, dtype=torch.float64)
    got = roi_align(features, rois, BINS, SCALE, samples, 'avg', aligned)
    expected = slow_roi_align(features, rois, samples, aligned)
    torch.testing.assert_close(got, expected)
    assert expected[:3].abs().amin(dim=(1, 2, 3)).min() > 0
    assert expected[3].abs().max() == 0


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('samples', [0, 2])
def test_roi_align_gradient(features: Tensor, samples: int, aligned: bool) -> None:
    rois = torch.tensor(ROIS, dtype=torch.float64)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: roi_align(x, rois, BINS, SCALE, samples, 'avg', aligned), features)


def test_roi_align_gradient_of_an_expanded_output(features: Tensor) -> None:
    """`sum` hands a gradient without memory of its own to the kernel."""
    rois = torch.tensor(ROIS[:1], dtype=torch.float64)
    roi_align(features.requires_grad_(), rois, BINS, SCALE, 2, 'avg', True).sum().backward()
    # Each of the 2 x 3 bins averages weights that sum to 1, in each of 3 channels.
    assert features.grad.sum().item() == pytest.approx(18)


def test_roi_align_in_channels_last(features: Tensor) -> None:
    rois = torch.tensor(ROIS, dtype=torch.float64)
    got = RoIAlign(BINS, SCALE, 2)(features.to(memory_format=torch.channels_last), rois)
    torch.testing.assert_close(got, RoIAlign(BINS, SCALE, 2)(features, rois))


@pytest.mark.parametrize('layer', [RoIAlign, RoIPool])
def test_no_rois(features: Tensor, layer: type) -> None:
    output = layer(BINS, SCALE)(features.requires_grad_(), torch.zeros(0, 5, dtype=torch.float64))
    output.sum().backward()
    assert output.shape == (0, 3, *BINS)
    assert features.grad.abs().sum() == 0


def test_a_gradient_that_has_to_be_the_same_each_time_is_summed_on_the_cpu(
    features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU under --deterministic, where the kernel adds in any order; the CPU adds in one order."""
    rois, low = torch.tensor(ROIS, dtype=torch.float64), features.clone().requires_grad_()
    roi_align(features.requires_grad_(), rois, BINS, SCALE, 2, 'avg', True).square().sum().backward()
    asked = []
    monkeypatch.setattr(roi, '_order_matters', lambda grad: asked.append(grad) or len(asked) == 1)
    roi_align(low, rois, BINS, SCALE, 2, 'avg', True).square().sum().backward()
    assert len(asked) == 2  # the call that came in, and that for the CPU
    torch.testing.assert_close(low.grad, features.grad, rtol=0, atol=0)


def test_gradients_are_summed_in_order_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu, on_cpu = (SimpleNamespace(device=torch.device(name)) for name in ('cuda', 'cpu'))
    assert not roi._order_matters(on_gpu)
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: True)
    assert roi._order_matters(on_gpu) and not roi._order_matters(on_cpu)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_in_half_precision(features: Tensor, dtype: torch.dtype) -> None:
    rois = torch.tensor([[0, 3, 2, 15, 10], [1, 4, 6, 9.5, 14]])
    low = features.to(dtype).requires_grad_()
    high = low.detach().float().requires_grad_()
    got, expected = roi_align(low, rois.to(dtype), BINS, SCALE), roi_align(high, rois, BINS, SCALE)
    got.float().pow(2).sum().backward()
    expected.pow(2).sum().backward()
    assert got.dtype == low.grad.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(got.float(), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(low.grad.float(), high.grad, rtol=tolerance, atol=tolerance)


def test_roi_align_under_autocast(features: Tensor) -> None:
    rois = torch.tensor(ROIS, dtype=torch.float32)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = roi_align(features.float(), rois, BINS, SCALE)
    torch.testing.assert_close(got, roi_align(features.float(), rois, BINS, SCALE))


@pytest.mark.skipif(operator_backend() == 'mmcv', reason='a full mmcv has it')
def test_max_mode_says_what_it_needs(features: Tensor) -> None:
    with pytest.raises(NotImplementedError, match="pool_mode='max' needs mmcv's compiled operators"):
        roi_align(features, torch.tensor(ROIS, dtype=torch.float64), BINS, SCALE, 2, 'max', True)


def slow_roi_pool(features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """Values, and the gradient by the features of their sum."""
    height, width = features.shape[-2:]
    output = torch.zeros(len(rois), features.shape[1], *BINS, dtype=features.dtype)
    gradient = torch.zeros_like(features)
    for r, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        left, top, right, bottom = x1 * SCALE, y1 * SCALE, (x2 + 1) * SCALE, (y2 + 1) * SCALE
        if right <= left or bottom <= top:
            continue
        for i in range(BINS[0]):
            for j in range(BINS[1]):
                step_y, step_x = (bottom - top) / BINS[0], (right - left) / BINS[1]
                rows = range(max(math.floor(top + i * step_y), 0), min(math.ceil(top + (i + 1) * step_y), height))
                columns = range(max(math.floor(left + j * step_x), 0), min(math.ceil(left + (j + 1) * step_x), width))
                for c in range(features.shape[1]):
                    plane = features[int(image), c]
                    cells = [(plane[y, x].item(), y, x) for y in rows for x in columns]
                    if cells:
                        value, y, x = max(cells)
                        output[r, c, i, j] = value
                        gradient[int(image), c, y, x] += 1
    return output, gradient


def test_roi_pool_against_a_loop(features: Tensor) -> None:
    rois = torch.tensor([*ROIS, [0, 9, 4, 5, 8]], dtype=torch.float64)
    expected, gradient = slow_roi_pool(features, rois)
    got = roi_pool(features.requires_grad_(), rois, BINS, SCALE)
    got.sum().backward()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(features.grad, gradient)
    assert expected[:3].abs().sum(dim=(1, 2, 3)).min() > 0
    assert expected[3:].abs().max() == 0
