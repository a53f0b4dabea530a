"""Deformable convolution of the stand-in, called through mmcv, against plain convolution and shifted features."""

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import deform_conv2d, modulated_deform_conv2d
from torch import Tensor

GROUPS, DEFORM_GROUPS = 2, 2
STRIDE, PAD, DILATION = (2, 1), (1, 2), (1, 2)


def tensor(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def features() -> Tensor:
    return tensor(2, 4, 8, 9, seed=0)


@pytest.fixture
def weight() -> Tensor:
    return tensor(6, 2, 3, 3, seed=1)


def plain(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(features, weight, bias, STRIDE, PAD, DILATION, GROUPS)


def offsets(features: Tensor, weight: Tensor) -> Tensor:
    shape = plain(features, weight).shape
    return torch.zeros(2, DEFORM_GROUPS * 9 * 2, *shape[2:], dtype=torch.float64)


def test_without_offset_it_is_a_convolution(features: Tensor, weight: Tensor) -> None:
    got = deform_conv2d(features, offsets(features, weight), weight, STRIDE, PAD, DILATION, GROUPS, DEFORM_GROUPS)
    torch.testing.assert_close(got, plain(features, weight))


def test_a_whole_offset_shifts_the_features_of_its_group(features: Tensor, weight: Tensor) -> None:
    offset = offsets(features, weight).view(2, DEFORM_GROUPS, 9, 2, *plain(features, weight).shape[2:])
    offset[:, 1, :, 0], offset[:, 1, :, 1] = 1, -2  # y, x of the second half of the channels
    padded = F.pad(features, (8, 8, 8, 8))
    shifted = torch.cat((padded[:, :2], torch.roll(padded[:, 2:], (-1, 2), dims=(2, 3))), dim=1)
    # On a wide zero border a shift of the input equals a shift of the samples.
    pad = [8 - p for p in PAD]
    expected = F.conv2d(shifted[..., pad[0] : -pad[0], pad[1] : -pad[1]], weight, None, STRIDE, 0, DILATION, GROUPS)
    got = deform_conv2d(features, offset.flatten(1, 3), weight, STRIDE, PAD, DILATION, GROUPS, DEFORM_GROUPS)
    torch.testing.assert_close(got, expected)
    assert (got - plain(features, weight)).abs().max() > 0.1


def test_the_mask_scales_and_the_bias_adds(features: Tensor, weight: Tensor) -> None:
    bias, offset = tensor(6, seed=2), offsets(features, weight)
    mask = torch.ones(2, DEFORM_GROUPS, 9, *offset.shape[2:], dtype=torch.float64)
    mask[:, 0] = 0.25
    scaled = torch.cat((features[:, :2] * 0.25, features[:, 2:]), dim=1)
    arguments = (STRIDE, PAD, DILATION, GROUPS, DEFORM_GROUPS)
    got = modulated_deform_conv2d(features, offset, mask.flatten(1, 2), weight, bias, *arguments)
    torch.testing.assert_close(got, plain(scaled, weight, bias))
    got = modulated_deform_conv2d(features, offset, mask.flatten(1, 2), weight, None, *arguments)
    torch.testing.assert_close(got, plain(scaled, weight))


def test_gradients_by_finite_differences() -> None:
    features, weight = tensor(1, 2, 4, 5, seed=3).requires_grad_(), tensor(2, 1, 2, 2, seed=4).requires_grad_()
    # Away from whole numbers, where the interpolation has a kink.
    offset = (tensor(1, 2 * 4 * 2, 3, 4, seed=5).clamp(-1, 1) * 0.3 + 0.45).requires_grad_()
    mask, bias = tensor(1, 2 * 4, 3, 4, seed=6).requires_grad_(), tensor(2, seed=7).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, o, w: deform_conv2d(x, o, w, 1, 0, 1, 2, 2), (features, offset, weight), fast_mode=True
    )
    assert torch.autograd.gradcheck(
        lambda x, o, m, w, b: modulated_deform_conv2d(x, o, m, w, b, 1, 0, 1, 2, 2),
        (features, offset, mask, weight, bias),
        fast_mode=True,
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(features: Tensor, weight: Tensor, dtype: torch.dtype) -> None:
    low, kernel = features.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()
    got = deform_conv2d(low, offsets(features, weight).to(dtype), kernel, STRIDE, PAD, DILATION, GROUPS, DEFORM_GROUPS)
    got.float().sum().backward()
    assert got.dtype == low.grad.dtype == kernel.grad.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps
    expected = plain(low.detach().float(), kernel.detach().float())
    torch.testing.assert_close(got.float(), expected, rtol=tolerance, atol=tolerance * 4)
