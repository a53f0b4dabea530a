"""SA, BNSA and PluginFPN against Eq. 1-4 recomputed from their weights."""

from mmdet_ir.models import BNSA, PluginFPN, SqueezeAttention

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import build_plugin_layer
from mmdet.models.backbones import ResNet
from mmdet.models.necks import FPN


def conv_bn(x: torch.Tensor, layer: torch.nn.Module, relu: bool) -> torch.Tensor:
    """Convolution and BatchNorm in evaluation, by their definitions."""
    padding = layer.conv.kernel_size[0] // 2
    x = F.conv2d(x, layer.conv.weight, padding=padding)
    norm = layer.bn
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    x = (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    return x.clamp(min=0) if relu else x


def average_2x2(x: torch.Tensor) -> torch.Tensor:
    """Means of 2x2 windows; those at an odd border hold what is there."""
    rows = []
    for i in range(0, x.shape[2], 2):
        rows.append(torch.stack([x[:, :, i : i + 2, j : j + 2].mean((2, 3)) for j in range(0, x.shape[3], 2)], -1))
    return torch.stack(rows, 2)


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Non-trivial weights and statistics everywhere, in evaluation mode."""
    gen = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=gen) * 0.3)
            if name.endswith('running_var'):
                tensor.abs_().add_(0.5)
    return module.eval()


@pytest.mark.parametrize('layer_type', [BNSA, SqueezeAttention])
@pytest.mark.parametrize('size', [(8, 10), (7, 9), (1, 1), (5, 2)])
def test_output_equals_the_equations(layer_type: type, size: tuple[int, int]) -> None:
    layer = randomised(layer_type(8))
    x = torch.randn(2, 8, *size, generator=torch.Generator().manual_seed(1))
    attention = average_2x2(x)
    for conv in layer.attention:
        attention = conv_bn(attention, conv, relu=True)
    attention = F.interpolate(attention, size=size, mode='bilinear', align_corners=False)
    residual = x
    for i, conv in enumerate(layer.main):
        residual = conv_bn(residual, conv, relu=i < len(layer.main) - 1)
    expected = attention * residual + attention
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('channels', 'reduction'), [(512, 4), (1024, 4), (64, 2)])
def test_parameters_equal_eq_4(channels: int, reduction: int) -> None:
    """Each convolution costs n^2 c_in c_out; two channels of 1x1, 3x3, 3x3, 1x1."""
    inner = channels // reduction
    expected = 2 * (channels * inner + 9 * inner * inner + 9 * inner * inner + inner * channels)
    layer = BNSA(channels, reduction)
    assert sum(p.numel() for p in layer.parameters() if p.dim() == 4) == expected
    norms = 2 * 2 * (3 * inner + channels)
    assert sum(p.numel() for p in layer.parameters()) == expected + norms


def test_bnsa_on_c3_and_c4_of_resnet50_adds_4_27_million() -> None:
    total = sum(p.numel() for channels in (512, 1024) for p in BNSA(channels).parameters())
    assert total == 4_270_592


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    layer = BNSA(16)
    x = torch.randn(4, 16, 9, 11, requires_grad=True)
    layer(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    assert x.grad.abs().sum() > 0


def test_gradcheck() -> None:
    torch.manual_seed(0)
    layer = BNSA(4, reduction=2, act_cfg={'type': 'GELU'}).double().eval()
    x = torch.randn(1, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_settings_reach_the_layers() -> None:
    layer = BNSA(
        32, reduction=2, kernel_size=5, pool_size=4, norm_cfg={'type': 'GN', 'num_groups': 4}, act_cfg={'type': 'GELU'}
    )
    kernels = [m.kernel_size[0] for m in layer.main.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [1, 5, 5, 1]
    assert sum(isinstance(m, torch.nn.GroupNorm) for m in layer.modules()) == 8
    assert sum(isinstance(m, torch.nn.GELU) for m in layer.modules()) == 7
    assert layer(torch.randn(1, 32, 13, 6)).shape == (1, 32, 13, 6)


def test_autocast_output_is_close_to_float32() -> None:
    torch.manual_seed(0)
    layer = BNSA(32).eval()
    x = torch.randn(1, 32, 16, 20)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = layer(x)
    torch.testing.assert_close(low.float(), layer(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(('type_name', 'prefix'), [('BNSA', 'bnsa'), ('SqueezeAttention', 'sa')])
def test_is_an_mmcv_plugin_layer(type_name: str, prefix: str) -> None:
    name, layer = build_plugin_layer({'type': type_name}, postfix='_1', in_channels=8)
    assert name == f'{prefix}_1' and layer.in_channels == 8


def test_sits_in_resnet_plugins_too() -> None:
    plugins = [
        {'cfg': {'type': 'BNSA', 'reduction': 4}, 'stages': (False, True, False, False), 'position': 'after_conv3'}
    ]
    backbone = ResNet(50, base_channels=8, stem_channels=8, plugins=plugins)
    assert sum(isinstance(m, BNSA) for m in backbone.modules()) == 4
    assert [o.shape[1] for o in backbone(torch.randn(2, 3, 64, 64))] == [32, 64, 128, 256]


def test_layer_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match='multiple of reduction, got 10 and 4'):
        BNSA(10)
    with pytest.raises(ValueError, match='odd kernel_size, got 2'):
        SqueezeAttention(8, kernel_size=2)
    with pytest.raises(ValueError, match='positive in_channels and pool_size, got 8 and 0'):
        SqueezeAttention(8, pool_size=0)


class TestPluginFPN:
    in_channels = (8, 16, 32, 64)

    def inputs(self, seed: int = 0) -> tuple[torch.Tensor, ...]:
        gen = torch.Generator().manual_seed(seed)
        sizes = ((17, 23), (9, 12), (5, 6), (3, 3))
        return tuple(torch.randn(2, c, *s, generator=gen) for c, s in zip(self.in_channels, sizes, strict=True))

    def build(self, **kwargs) -> PluginFPN:
        torch.manual_seed(0)
        return PluginFPN(list(self.in_channels), 12, 5, **kwargs).eval()

    def test_without_plugin_it_is_the_fpn(self) -> None:
        neck = self.build()
        plain = FPN(list(self.in_channels), 12, 5).eval()
        plain.load_state_dict(neck.state_dict())
        torch.testing.assert_close(neck(self.inputs()), plain(self.inputs()), rtol=0, atol=0)

    def test_equals_fpn_over_plugged_stages(self) -> None:
        neck = randomised(self.build(plugin={'type': 'BNSA', 'reduction': 4}))
        plain = FPN(list(self.in_channels), 12, 5).eval()
        plain.load_state_dict({k: v for k, v in neck.state_dict().items() if not k.startswith('plugins')})
        c2, c3, c4, c5 = self.inputs()
        expected = plain((c2, neck.plugins['1'](c3), neck.plugins['2'](c4), c5))
        torch.testing.assert_close(neck(self.inputs()), expected)
        assert not torch.allclose(expected[1], plain(self.inputs())[1], atol=1e-2)

    def test_takes_any_registered_plugin(self) -> None:
        neck = self.build(plugin={'type': 'ContextBlock', 'ratio': 0.25}, plugin_stages=(0, 3))
        assert [type(p).__name__ for p in neck.plugins.values()] == ['ContextBlock'] * 2
        assert [o.shape[2:] for o in neck(self.inputs())] == [(17, 23), (9, 12), (5, 6), (3, 3), (2, 2)]

    def test_next_stage_of_resnet_does_not_see_it(self) -> None:
        """The backbone's outputs, and C4's gradient path into stage 3, are those without a plugin."""
        torch.manual_seed(0)
        backbone = ResNet(18, base_channels=8, stem_channels=8)
        backbone.eval()  # MMDetection's returns nothing
        neck = PluginFPN([8, 16, 32, 64], 12, 4, plugin={'type': 'BNSA'}, plugin_stages=(1,)).eval()
        image = torch.randn(1, 3, 64, 64)
        seen = []
        hook = backbone.layer3.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        features = backbone(image)
        outputs = neck(features)
        hook.remove()
        assert seen[0] is features[1]  # stage 3 read C3 itself
        plain = [conv(f) for conv, f in zip(neck.lateral_convs, features, strict=True)]
        # P5 = FPN convolution of C5's lateral: no plugin upstream of it
        torch.testing.assert_close(outputs[3], neck.fpn_convs[3](plain[3]))

    def test_stage_mistakes_are_named(self) -> None:
        for stages in ((1, 4), (1, 1), (-1,)):
            with pytest.raises(ValueError, match=r'distinct plugin_stages within \[0, 1, 2, 3\]'):
                self.build(plugin={'type': 'BNSA'}, plugin_stages=stages)
        with pytest.raises(ValueError, match=r'within \[1, 2, 3\], got \[0\]'):
            self.build(plugin={'type': 'BNSA'}, plugin_stages=(0,), start_level=1)
