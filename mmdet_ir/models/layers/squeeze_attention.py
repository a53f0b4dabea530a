"""Squeeze-and-attention (SA) layer.

Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation", CVPR 2020, as used by Wang & Ren,
Symmetry 2025, 17, 1099, Fig. 4 and Eq. 1-3.

What the paper leaves open, and what is done here: 2x2 average pooling in ceil mode, 3x3 convolutions each
followed by BatchNorm, bilinear upsampling to the input's size. All of it can be set.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SqueezeAttention(BaseModule):
    """SA as an mmcv plugin layer: ``X_out = X_attn * X_res + X_attn`` (Eq. 2).

    It sits in mmengine's root registry, as mmcv's own plugin layers do, so any ``plugins=`` field finds it.

    Args:
        in_channels: Channels of the input, and of the output.
        kernel_size: Odd kernel size of the two convolutions of each channel.
        pool_size: Window and stride of the average pooling ``APool``. 1 pools nothing.
        upsample_cfg: Arguments of ``F.interpolate`` for ``Up``, without ``size``.
        conv_cfg: Convolution layer, as in ``mmcv.cnn.ConvModule``.
        norm_cfg: Normalisation after each convolution.
        act_cfg: Activation between convolutions, and ``sigma`` of Eq. 1.
        residual: Adds the input: ``X_attn * X_res + X_attn + X_in``. Not in the paper.
        init_cfg: Initialisation, as in ``mmengine.model.BaseModule``.

    Raises:
        ValueError: If ``in_channels`` or ``pool_size`` is not positive, or ``kernel_size`` is even.

    Example:
        >>> import torch
        >>> from mmcv.cnn import build_plugin_layer
        >>> name, layer = build_plugin_layer({'type': 'SqueezeAttention', 'in_channels': 8})
        >>> layer(torch.zeros(2, 8, 6, 5)).shape
        torch.Size([2, 8, 6, 5])
    """

    _abbr_ = 'sa'

    def __init__(
        self,
        in_channels: int,
        kernel_size: int = 3,
        pool_size: int = 2,
        upsample_cfg: dict | None = None,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = dict(type='BN'),  # noqa: B006, C408  (mmcv's way to show a default config)
        act_cfg: dict | None = dict(type='ReLU'),  # noqa: B006, C408
        residual: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if in_channels < 1 or pool_size < 1:
            raise ValueError(f'expected positive in_channels and pool_size, got {in_channels} and {pool_size}')
        if kernel_size % 2 == 0:
            raise ValueError(f'expected an odd kernel_size, got {kernel_size}')
        self.in_channels = in_channels
        self.pool_size = pool_size
        self.residual = residual
        self.upsample_cfg = upsample_cfg or {'mode': 'bilinear', 'align_corners': False}
        widths_and_kernels = self._branch_layout(in_channels, kernel_size)
        cfg = {'conv_cfg': conv_cfg, 'norm_cfg': norm_cfg}
        self.attention = self._make_branch(widths_and_kernels, act_cfg, act_cfg, cfg)
        # Eq. 3 names no activation after F, so its last convolution has none.
        self.main = self._make_branch(widths_and_kernels, act_cfg, None, cfg)

    def _branch_layout(self, in_channels: int, kernel_size: int) -> list[tuple[int, int]]:
        """Output channels and kernel size of each convolution of a channel: two of full width."""
        return [(in_channels, kernel_size)] * 2

    def _make_branch(
        self, layout: list[tuple[int, int]], act_cfg: dict | None, last_act_cfg: dict | None, cfg: dict
    ) -> nn.Sequential:
        layers, width_in = [], self.in_channels
        for i, (width, kernel) in enumerate(layout):
            act = last_act_cfg if i == len(layout) - 1 else act_cfg
            layers.append(ConvModule(width_in, width, kernel, padding=kernel // 2, act_cfg=act, **cfg))
            width_in = width
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Reweights ``x`` by its own pooled context.

        Args:
            x: Feature map, shape ``[N, in_channels, H, W]``, of any size from 1x1.

        Returns:
            Feature map of the shape of ``x``.
        """
        # Ceil mode leaves no row or column of an odd input unread; partial windows average what they hold.
        pooled = F.avg_pool2d(x, self.pool_size, ceil_mode=True) if self.pool_size > 1 else x
        attention = F.interpolate(self.attention(pooled), size=x.shape[-2:], **self.upsample_cfg)  # Eq. 1
        out = torch.addcmul(attention, attention, self.main(x))  # Eq. 3, Eq. 2
        return out + x if self.residual else out
