"""Every operator that compat serves, on the GPU against the CPU."""

from collections.abc import Callable

from mmdet_ir.compat import mmcv_ext

import pytest
import torch
from gpu_cases import DEVICE, DTYPES, LAYOUTS, agree, close, random
from mmcv.ops import deform_conv2d, modulated_deform_conv2d, nms, roi_align, roi_pool, sigmoid_focal_loss, soft_nms
from torch import Tensor

pytestmark = pytest.mark.gpu
ROIS = torch.tensor([[0, 1.0, 2, 11, 9], [1, 3, 1, 14, 12], [0, 0, 0, 15, 11], [1, 5, 4, 8, 8]])


def boxes() -> tuple[Tensor, Tensor]:
    """Whole coordinates, which every type holds, and scores that no type makes equal."""
    corner = (random(60, 2, seed=1).abs() * 20).round()
    size = (random(60, 2, seed=2).abs() * 12).round() + 2
    return torch.cat([corner, corner + size], 1), torch.linspace(0.05, 0.99, 60)[torch.randperm(60)]


def align(samples: int, aligned: bool) -> Callable[[Tensor], Tensor]:
    return lambda x: roi_align(x, ROIS.to(x), (2, 3), 0.5, samples, 'avg', aligned)


def focal(x: Tensor) -> Tensor:
    return sigmoid_focal_loss(x, torch.tensor([0, 2, 3, 1, 1], device=x.device), 2.0, 0.25, None, 'none')


# Name of the operators -> function and inputs.
CASES = {
    ('roi_align_forward', 'roi_align_backward'): (align(2, True), [random(2, 5, 8, 9)]),
    ('roi_align_forward', 'roi_align_backward', 'adaptive'): (align(0, False), [random(2, 5, 8, 9)]),
    ('roi_pool_forward', 'roi_pool_backward'): (
        lambda x: roi_pool(x, ROIS.to(x), (2, 3), 0.5),
        [(torch.arange(2 * 5 * 8 * 9.0) % 251 / 16).view(2, 5, 8, 9)],  # (a maximum that rounding does not move)
    ),
    ('sigmoid_focal_loss_forward', 'sigmoid_focal_loss_backward'): (focal, [random(5, 3, scale=2)]),
    ('deform_conv_forward', 'deform_conv_backward_input', 'deform_conv_backward_parameters'): (
        lambda x, offset, weight: deform_conv2d(x, offset, weight, 1, 1, 1, 2, 2),
        [random(2, 4, 7, 6), random(2, 36, 7, 6, seed=1).clamp(-1, 1) * 0.3 + 0.45, random(6, 2, 3, 3, seed=2)],
    ),
    ('modulated_deform_conv_forward', 'modulated_deform_conv_backward'): (
        lambda x, offset, mask, weight, bias: modulated_deform_conv2d(x, offset, mask, weight, bias, 1, 1, 1, 1, 1),
        [
            random(2, 4, 7, 6),
            random(2, 18, 7, 6, seed=1).clamp(-1, 1) * 0.3 + 0.45,
            random(2, 9, 7, 6, seed=3).sigmoid(),
            random(6, 4, 3, 3, seed=2),
            random(6, seed=4),
        ],
    ),
}


@pytest.mark.parametrize('layout', LAYOUTS, ids=['contiguous', 'channels-last'])
@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('names', CASES, ids='-'.join)
def test_results_and_gradients(names: tuple[str, ...], dtype: torch.dtype, layout: torch.memory_format) -> None:
    function, inputs = CASES[names]
    if dtype is torch.bfloat16 and 'deform' in names[0]:
        # bfloat16 rounds an offset by more than the distance to the next cell's kink
        inputs = [inputs[0], (inputs[1] * 16).round() / 16, *inputs[2:]]
    agree(function, inputs, dtype, layout)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_nms(dtype: torch.dtype) -> None:
    places, scores = boxes()
    expected = nms(places, scores, 0.5)[1]
    got = nms(places.to(DEVICE, dtype), scores.to(DEVICE, dtype), 0.5)[1]
    assert got.tolist() == expected.tolist() and 5 < len(expected) < 60


@pytest.mark.parametrize('method', ['linear', 'gaussian', 'naive'])
def test_soft_nms(method: str) -> None:
    places, scores = boxes()
    expected, order = soft_nms(places, scores, 0.3, 0.5, 1e-3, method)
    got, places_of = soft_nms(places.to(DEVICE), scores.to(DEVICE), 0.3, 0.5, 1e-3, method)
    assert places_of.tolist() == order.tolist()
    close(got, expected, torch.float32, method)


def test_every_operator_has_a_case() -> None:
    covered = {name for names in CASES for name in names} | {'nms', 'softnms'}
    assert set(mmcv_ext.__all__) <= covered
