"""Instance context encoder of SparseInst: Cheng et al., CVPR 2022, Fig. 3."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule, caffe2_xavier_init
from torch import Tensor, nn

from ..layers.stage_plugins import build_stage_plugins


class PyramidPooling(nn.Module):
    """Pyramid pooling (Zhao et al., CVPR 2017): averages over coarse grids join every position.

    Args:
        channels: Channels of the input, and of the output.
        pool_sizes: Cells along each side of the grids. Each adds ``channels // len(pool_sizes)`` channels.
        norm_cfg: Norm of the convolutions.
    """

    def __init__(self, channels: int, pool_sizes: Sequence[int], norm_cfg: dict | None) -> None:
        super().__init__()
        branch = channels // len(pool_sizes)
        self.pool_sizes = tuple(pool_sizes)
        self.branches = nn.ModuleList(ConvModule(channels, branch, 1, norm_cfg=norm_cfg) for _ in pool_sizes)
        self.bottleneck = ConvModule(channels + branch * len(pool_sizes), channels, 1, norm_cfg=norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C, H, W]``, any size."""
        pooled = [
            F.interpolate(branch(F.adaptive_avg_pool2d(x, size)), x.shape[2:], mode='bilinear', align_corners=False)
            for size, branch in zip(self.pool_sizes, self.branches, strict=True)
        ]
        return self.bottleneck(torch.cat([*pooled, x], 1))


@MODELS.register_module()
class InstanceContextEncoder(BaseModule):
    """Pyramid with pyramid pooling at its top, fused into one map at the size of its largest input.

    Follows ``InstanceContextEncoder`` of hustvl/SparseInst. The top-down path also takes sizes that are no multiples
    of each other.

    Args:
        in_channels: Channels of the backbone's maps, from the largest to the smallest.
        out_channels: Channels of every inner map and of the output.
        pool_sizes: Grids of the pyramid pooling.
        plugin: Config of a registered mmcv plugin layer that keeps shape and channels, such as
            ``dict(type='BNSA', reduction=4)``, put before chosen lateral convolutions as in :class:`PluginFPN`.
        plugin_stages: Indices into ``in_channels``; with C3 to C5 as inputs ``(0, 1)`` means C3 and C4.
        norm_cfg: Norm of the convolutions; none in the original.
        init_cfg: Initialisation, on top of the original's.

    Raises:
        ValueError: If a plugin stage is no input, or comes twice.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import InstanceContextEncoder
        >>> encoder = InstanceContextEncoder([4, 6, 8], out_channels=8)
        >>> levels = [torch.zeros(1, channels, size, size) for channels, size in ((4, 16), (6, 8), (8, 4))]
        >>> encoder(levels)[0].shape
        torch.Size([1, 8, 16, 16])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        pool_sizes: Sequence[int] = (1, 2, 3, 6),
        plugin: dict | None = None,
        plugin_stages: Sequence[int] = (0, 1),
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        inputs = range(len(in_channels))
        self.plugins = build_stage_plugins(plugin, plugin_stages, in_channels, inputs)
        plain = {'norm_cfg': norm_cfg, 'act_cfg': None}
        self.laterals = nn.ModuleList(ConvModule(c, out_channels, 1, **plain) for c in in_channels)
        self.outputs = nn.ModuleList(ConvModule(out_channels, out_channels, 3, padding=1, **plain) for _ in inputs)
        self.pooling = PyramidPooling(out_channels, pool_sizes, norm_cfg)
        self.fusion = ConvModule(out_channels * len(in_channels), out_channels, 1, **plain)

    def init_weights(self) -> None:
        """Xavier for the pyramid; all else keeps ``ConvModule``'s Kaiming."""
        super().init_weights()
        for layer in (*self.laterals, *self.outputs):
            caffe2_xavier_init(layer.conv)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """Encodes the backbone's maps.

        Args:
            inputs: Each ``[B, in_channels[i], H_i, W_i]``.

        Returns:
            One map ``[B, out_channels, H_0, W_0]``, in a tuple as MMDetection's necks return theirs.
        """
        features = list(inputs)
        for stage, plugin in self.plugins.items():
            features[int(stage)] = plugin(features[int(stage)])
        laterals = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        laterals[-1] = self.pooling(laterals[-1])
        for i in range(len(laterals) - 2, -1, -1):
            laterals[i] = laterals[i] + F.interpolate(laterals[i + 1], laterals[i].shape[2:], mode='nearest')
        first, *others = (output(x) for output, x in zip(self.outputs, laterals, strict=True))
        others = [F.interpolate(x, first.shape[2:], mode='bilinear', align_corners=False) for x in others]
        return (self.fusion(torch.cat([first, *others], 1)),)
