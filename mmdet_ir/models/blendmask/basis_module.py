"""The bottom module of BlendMask (Chen et al., CVPR 2020, Sec. 3.1), in the ProtoNet form of AdelaiDet."""

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

# Uniform Kaiming initialisation with slope 1, as AdelaiDet's.
CAFFE2_XAVIER = {'type': 'Caffe2Xavier', 'layer': 'Conv2d'}


@MODELS.register_module()
class BasisModule(BaseModule):
    """Predicts K bases of the whole image from the finest pyramid levels, and semantic logits while training.

    Each level passes a 3x3 convolution and is enlarged bilinearly to the first level's size; their sum passes a tower
    of 3x3 convolutions, is doubled in size, passes one more, and a 1x1 convolution gives the bases. The semantic head
    reads the first level only; its loss teaches the shared features and nothing of it is left at test time.

    Args:
        in_channels: Channels of the pyramid levels.
        num_classes: Foreground classes of the semantic head, which has one output more, the last, for background.
        num_bases: K.
        channels: Channels of every convolution inside.
        num_levels: How many pyramid levels are read, from the first.
        num_convs: Convolutions of the tower before its size is doubled.
        norm_cfg: Norm after every convolution but the last ones. AdelaiDet has SyncBN, which BN becomes with
            ``sync_bn='torch'`` in the config.
        init_cfg: Initialisation of the weights.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import BasisModule
        >>> module = BasisModule(in_channels=8, num_classes=4, channels=8).eval()
        >>> levels = tuple(torch.zeros(1, 8, size, size) for size in (16, 8, 4))
        >>> module(levels)[0].shape
        torch.Size([1, 4, 32, 32])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        num_bases: int = 4,
        channels: int = 128,
        num_levels: int = 3,
        num_convs: int = 3,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg or CAFFE2_XAVIER)
        self.num_classes = num_classes
        self.num_bases = num_bases

        def conv(inputs: int) -> ConvModule:
            return ConvModule(inputs, channels, 3, padding=1, norm_cfg=norm_cfg or {'type': 'BN'})

        self.refine = nn.ModuleList(conv(in_channels) for _ in range(num_levels))
        self.tower = nn.Sequential(
            *(conv(channels) for _ in range(num_convs)),
            nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False),
            conv(channels),
            nn.Conv2d(channels, num_bases, 1),
        )
        self.semantic_head = nn.Sequential(conv(in_channels), conv(channels), nn.Conv2d(channels, num_classes + 1, 1))

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None]:
        """Computes the bases.

        Args:
            feats: Pyramid levels, the finest first, each ``[B, in_channels, H_i, W_i]``.

        Returns:
            Bases, shape ``[B, K, 2 H_0, 2 W_0]``, and in training semantic logits, shape
            ``[B, num_classes + 1, H_0, W_0]``, else None.

        Raises:
            ValueError: If there are fewer levels than ``num_levels``.
        """
        if len(feats) < len(self.refine):
            raise ValueError(f'expected at least {len(self.refine)} pyramid levels, got {len(feats)}')
        size = feats[0].shape[2:]
        total = self.refine[0](feats[0])
        for conv, feat in zip(self.refine[1:], feats[1:], strict=False):
            total = total + F.interpolate(conv(feat), size=size, mode='bilinear', align_corners=False)
        return self.tower(total), self.semantic_head(feats[0]) if self.training else None
