"""RoIAlign as weighted sums of rows gives what torchvision's kernel gives, forward and backward."""

from mmdet_ir.compat.ops import roi_align_cpu

import pytest
import torch
from mmcv.ops import RoIAlign

CHANNELS, HEIGHT, WIDTH = 33, 13, 17
# Of image 0 and 1, in pixels at a scale of 1/4 (the map is 68x52): within, across each border, outside, larger than
# the map, long and flat, without area, upside down, of a single cell, ending exactly at the border.
ROIS = torch.tensor(
    [
        [0, 10.3, 7.1, 31.9, 40.2],
        [1, -9, -7, 12, 20],
        [1, 50, 30, 90, 70],
        [0, -60, -60, -20, -30],
        [0, 200, 10, 260, 30],
        [1, -30, -40, 120, 110],
        [0, 2, 20, 66, 21.5],
        [1, 33, 1, 34, 51],
        [0, 20, 20, 20, 20],
        [1, 40, 30, 20, 10],
        [0, 16, 16, 20, 20],
        [1, 0, 0, 68, 52],
        [0, 63.9, 47.9, 68.1, 52.1],
    ]
)


def both(features: torch.Tensor, rois: torch.Tensor, size: tuple, ratio: int, aligned: bool) -> list[torch.Tensor]:
    """Output and gradient of ours, then of torchvision's kernel."""
    sampling = roi_align_cpu.Sampling(*size, 0.25, ratio, aligned)
    assert roi_align_cpu.fits(features, rois, sampling)
    output = torch.full((len(rois), CHANNELS, *size), torch.nan)
    roi_align_cpu.forward(features, rois, output, sampling)
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    gradient = torch.ones(features.shape)
    roi_align_cpu.backward(grad, rois, gradient, sampling)
    kernel = torch.ops.torchvision
    expected = kernel.roi_align(features, rois, 0.25, *size, ratio, aligned)
    expected_gradient = 1 + kernel._roi_align_backward(grad, rois, 0.25, *size, *features.shape, ratio, aligned)
    return [output, gradient, expected, expected_gradient]


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2, 3])
@pytest.mark.parametrize('size', [(7, 7), (3, 5), (1, 1)])
def test_as_torchvision(size: tuple, ratio: int, aligned: bool) -> None:
    features = torch.randn(2, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    output, gradient, expected, expected_gradient = both(features, ROIS, size, ratio, aligned)
    assert (expected[0] != 0).all() and (expected_gradient != 1).any()
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=2e-5)


def test_in_parts_and_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """More RoIs than are worked on at a time, of a map in the other layout."""
    monkeypatch.setattr(roi_align_cpu, '_BINS', 60)
    features = torch.randn(2, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    rois = ROIS.repeat(3, 1)
    output, gradient, expected, expected_gradient = both(
        features.to(memory_format=torch.channels_last), rois, (4, 4), 0, True
    )
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize('rois', [ROIS[:0], ROIS[3:4], ROIS[8:10]])
def test_nothing_to_sum(rois: torch.Tensor) -> None:
    """No RoIs, one outside, and two without area (one upside down)."""
    output, gradient, expected, expected_gradient = both(torch.ones(2, CHANNELS, 5, 6), rois, (2, 2), 0, True)
    assert torch.equal(output, expected) and torch.equal(gradient, expected_gradient)


@pytest.mark.parametrize('shape', [(1, 9), (9, 1), (1, 1)])
def test_a_map_of_one_row_or_column(shape: tuple) -> None:
    features = torch.randn(1, CHANNELS, *shape, generator=torch.Generator().manual_seed(0))
    rois = ROIS[ROIS[:, 0] == 0]
    output, gradient, expected, expected_gradient = both(features, rois, (2, 3), 0, True)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    ('channels', 'rois', 'expected_calls'),
    [(33, 3, ['forward', 'backward']), (33, 1, ['backward']), (4, 3, [])],
)
def test_mmcv_takes_it_where_it_is_worth_it(
    channels: int, rois: int, expected_calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient of a sum is each cell's weight in all; in a RoI of whole cells, a bin each, it is 1 by hand."""
    called = []
    for name in ('forward', 'backward'):
        original = getattr(roi_align_cpu, name)
        monkeypatch.setattr(roi_align_cpu, name, lambda *a, n=name, f=original: (called.append(n), f(*a)))
    features = torch.zeros(1, channels, 12, 12, requires_grad=True)
    layer = RoIAlign(4, spatial_scale=1.0, sampling_ratio=0)
    layer(features, torch.tensor([[0.0, 3, 3, 7, 7]]).repeat(rois, 1)).sum().backward()
    expected = torch.zeros(12, 12)
    expected[3:7, 3:7] = rois  # the only sample of a bin is its cell's centre
    torch.testing.assert_close(features.grad[0], expected.expand(channels, -1, -1))
    assert called == expected_calls


def test_a_roi_that_is_out_of_all_proportion_is_left_to_torchvision() -> None:
    sampling = roi_align_cpu.Sampling(7, 7, 0.25, 0, True)
    assert not roi_align_cpu.fits(torch.zeros(1, CHANNELS, 8, 8), torch.tensor([[0.0, 0, 0, 1e9, 9]]), sampling)
