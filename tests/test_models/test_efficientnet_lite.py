"""EfficientNet-Lite pads as MMDetection's EfficientNet does, and a trace of it holds for other sizes."""

import warnings

from mmdet_ir.models import EfficientNetLite
from mmdet_ir.models.backbones.efficientnet_lite import SamePadConv2d

import pytest
import torch
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmdet.models.backbones import EfficientNet


@pytest.mark.parametrize('size', [(32, 64), (18, 22)])
@pytest.mark.parametrize(('kernel', 'stride'), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2)])
def test_even_sides_are_padded_as_mmcv_does(kernel: int, stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    adaptive = Conv2dAdaptivePadding(4, 4, kernel, stride, groups=2)
    images = torch.randn(2, 4, *size)
    expected = adaptive(images)
    torch.testing.assert_close(SamePadConv2d(adaptive)(images), expected)


def test_an_odd_side_is_halved_upwards() -> None:
    conv = SamePadConv2d(Conv2dAdaptivePadding(1, 1, 3, 2))
    assert conv(torch.zeros(1, 1, 13, 7)).shape[2:] == (7, 4)


def test_the_features_are_those_of_mmdetections_blocks() -> None:
    """The same network, built as MMDetection builds it, with the same weights."""
    torch.manual_seed(1)
    ours = EfficientNetLite(in_channels=1).eval()

    class Reference(EfficientNet):
        layer_settings = EfficientNetLite.layer_settings
        arch_settings = EfficientNetLite.arch_settings

    theirs = Reference('lite0', out_indices=(2, 3, 4, 5), act_cfg={'type': 'ReLU6'})
    theirs.eval()
    stem = theirs.layers[0].conv
    theirs.layers[0].conv = type(stem)(1, stem.out_channels, 3, 2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(1, 1, 64, 96)
    for got, expected in zip(ours(images), theirs(images), strict=True):
        torch.testing.assert_close(got, expected)


def test_a_trace_holds_for_other_sizes() -> None:
    torch.manual_seed(2)
    model = EfficientNetLite(in_channels=1).eval()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        traced = torch.jit.trace(model, torch.randn(1, 1, 64, 64), check_trace=False)
    images = torch.randn(2, 1, 96, 160)
    for got, expected in zip(traced(images), model(images), strict=True):
        torch.testing.assert_close(got, expected)
