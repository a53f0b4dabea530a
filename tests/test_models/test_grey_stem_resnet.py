"""A folded one-channel stem against three equal channels through the stock ResNet."""

from mmdet_ir.models import GreyStemResNet

import numpy as np
import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.runner.checkpoint import load_state_dict

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SMALL = {'depth': 18, 'base_channels': 8, 'stem_channels': 8, 'num_stages': 2, 'strides': (1, 2), 'dilations': (1, 1)}
SMALL |= {'out_indices': (0, 1), 'norm_eval': True}


def colour_model() -> ResNet:
    torch.manual_seed(0)
    model = ResNet(**SMALL).double()
    model.eval()  # (returns nothing)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
    return model


def grey_model(colour: ResNet, **settings) -> GreyStemResNet:
    model = GreyStemResNet(**settings, **SMALL).double()
    missing = model.load_state_dict(colour.state_dict())
    assert not missing.missing_keys and not missing.unexpected_keys
    model.eval()
    return model


def stem(model: ResNet, images: torch.Tensor) -> torch.Tensor:
    return model.norm1(model.conv1(images))


@pytest.fixture
def grey() -> torch.Tensor:
    return torch.rand(2, 1, 48, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 255


def normalised(grey: torch.Tensor, mean: tuple, std: tuple) -> torch.Tensor:
    planes = [(grey - m) / s for m, s in zip(mean, std, strict=True)]
    return torch.cat(planes, dim=1)


@pytest.mark.parametrize(('mean', 'std'), [(114.495, 57.63), (90.0, 40.0)])
def test_the_stem_answers_as_to_three_equal_channels(grey: torch.Tensor, mean: float, std: float) -> None:
    colour = colour_model()
    model = grey_model(colour, grey_mean=mean, grey_std=std)
    expected = stem(colour, normalised(grey, MEAN, STD))
    got = stem(model, normalised(grey, (mean,), (std,)))
    inside = (..., slice(2, -2), slice(2, -2))  # 7x7 kernels at stride 2 that touch no padding
    torch.testing.assert_close(got[inside], expected[inside])
    # summed kernels alone, as if the means were equal, would be off
    model.norm1.running_mean.copy_(colour.norm1.running_mean)
    assert (stem(model, normalised(grey, (mean,), (std,)))[inside] - expected[inside]).abs().max() > 0.05


def test_equal_statistics_give_equal_features_everywhere(grey: torch.Tensor) -> None:
    colour = colour_model()
    model = grey_model(colour, grey_mean=100.0, grey_std=50.0, rgb_mean=(100.0,) * 3, rgb_std=(50.0,) * 3)
    for got, expected in zip(
        model(normalised(grey, (100.0,), (50.0,))), colour(normalised(grey, (100.0,) * 3, (50.0,) * 3)), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_through_the_data_preprocessors_and_mmengines_loading() -> None:
    """As a config does it: uint8 images, padding, and weights of a whole detector with a prefix."""
    images = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
    colour = colour_model().float()
    detector = torch.nn.Module()
    detector.backbone = GreyStemResNet(**SMALL)
    detector.eval()
    load_state_dict(detector, {f'backbone.{k}': v for k, v in colour.state_dict().items()}, strict=True)
    three = DetDataPreprocessor(mean=MEAN, std=STD, bgr_to_rgb=True, pad_size_divisor=32)
    one = DetDataPreprocessor(mean=[sum(MEAN) / 3], std=[sum(STD) / 3], pad_size_divisor=32)
    plane = torch.from_numpy(images)[None]
    batches = [p({'inputs': [x]}, False)['inputs'] for p, x in ((three, plane.repeat(3, 1, 1)), (one, plane))]
    assert [tuple(b.shape) for b in batches] == [(1, 3, 64, 64), (1, 1, 64, 64)]
    expected, got = stem(colour, batches[0]), stem(detector.backbone, batches[1])
    torch.testing.assert_close(got[..., 2:18, 2:26], expected[..., 2:18, 2:26], rtol=1e-4, atol=1e-4)


def test_its_own_weights_load_unchanged() -> None:
    model = grey_model(colour_model())
    again = GreyStemResNet(**SMALL).double()
    again.load_state_dict(model.state_dict())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_wrong_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match='expected three means and three deviations'):
        GreyStemResNet(rgb_mean=(1, 2), **SMALL)
    with pytest.raises(ValueError, match='expected deviations above 0'):
        GreyStemResNet(grey_std=0, **SMALL)
    with pytest.raises(ValueError, match="expected 'bn1.running_mean' in weights with three input channels"):
        GreyStemResNet(**SMALL).load_state_dict({'conv1.weight': torch.zeros(8, 3, 7, 7)})
