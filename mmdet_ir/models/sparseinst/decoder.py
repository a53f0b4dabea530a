"""Branches of SparseInst's decoder: Cheng et al., CVPR 2022, Fig. 3."""

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, bias_init_with_prob, caffe2_xavier_init, normal_init
from torch import Tensor, nn

from ..utils import to_full_precision


def append_coordinates(features: Tensor) -> Tensor:
    """Puts two channels, x and y from -1 to 1, before the others: ``[B, C, H, W]`` to ``[B, 2 + C, H, W]``."""
    batch, _, height, width = features.shape
    y = torch.linspace(-1, 1, height, device=features.device, dtype=features.dtype)
    x = torch.linspace(-1, 1, width, device=features.device, dtype=features.dtype)
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    return torch.cat([grid.expand(batch, -1, -1, -1), features], 1)


def aggregate_instances(activations: Tensor, features: Tensor, groups: int) -> Tensor:
    """Averages the features under each instance activation map.

    Weights are normalised before the sum, in float32 or better, so that half precision does not overflow.

    Args:
        activations: Activation maps, logits, shape ``[B, G * N, H, W]``, all of one group after the other.
        features: Shape ``[B, C, H, W]``.
        groups: G.

    Returns:
        Shape ``[B, N, G * C]``; the groups' features of one instance stand side by side.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.sparseinst import aggregate_instances
        >>> activations = torch.tensor([[[[99.0, -99.0]]]])  # one instance, at the first of two pixels
        >>> aggregate_instances(activations, torch.tensor([[[[3.0, 5.0]]]]), groups=1)
        tensor([[[3.]]])
    """
    weights = to_full_precision(activations).sigmoid().flatten(2)
    weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-6)
    instances = weights.to(features.dtype) @ features.flatten(2).transpose(1, 2)
    return instances.unflatten(1, (groups, -1)).transpose(1, 2).flatten(2)


def stacked_convs(in_channels: int, channels: int, count: int, norm_cfg: dict | None) -> nn.Sequential:
    return nn.Sequential(
        *(ConvModule(channels if i else in_channels, channels, 3, padding=1, norm_cfg=norm_cfg) for i in range(count))
    )


class InstanceBranch(BaseModule):
    """Class, objectness and mask kernel of each of N instances, through instance activation maps (IAM).

    ``groups=1`` is the paper's plain IAM, more is group IAM: each group of channels predicts a map of its own for
    every instance, and one fully connected layer mixes what the groups collected.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the convolutions.
        convs: Number of 3x3 convolutions.
        num_masks: N.
        num_classes: Number of classes.
        kernel_channels: Channels of the mask kernels.
        groups: Groups of the activation maps.
        norm_cfg: Norm of the convolutions.

    Raises:
        ValueError: If ``channels`` is not a multiple of ``groups``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.sparseinst import InstanceBranch
        >>> branch = InstanceBranch(8, 8, 1, num_masks=5, num_classes=4, kernel_channels=6, groups=2, norm_cfg=None)
        >>> [tuple(output.shape) for output in branch(torch.zeros(1, 8, 6, 6))]
        [(1, 5, 4), (1, 5), (1, 5, 6)]
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        convs: int,
        num_masks: int,
        num_classes: int,
        kernel_channels: int,
        groups: int,
        norm_cfg: dict | None,
    ) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(f'expected channels to be a multiple of groups, got {channels} and {groups}')
        self.groups = groups
        self.convs = stacked_convs(in_channels, channels, convs, norm_cfg)
        self.activation = nn.Conv2d(channels, num_masks * groups, 3, padding=1, groups=groups)
        width = channels * groups
        self.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True)) if groups > 1 else nn.Identity()
        self.cls_score = nn.Linear(width, num_classes)
        self.mask_kernel = nn.Linear(width, kernel_channels)
        self.objectness = nn.Linear(width, 1)

    def init_weights(self) -> None:
        """As the original: small weights, and probabilities of 0.01 in activation maps and classes."""
        super().init_weights()
        for layer in (self.activation, self.cls_score):
            normal_init(layer, std=0.01, bias=bias_init_with_prob(0.01))
        normal_init(self.mask_kernel, std=0.01)
        if self.groups > 1:
            caffe2_xavier_init(self.fc[0])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[B, C, H, W]`` to class logits ``[B, N, K]``, objectness logits ``[B, N]``, kernels ``[B, N, D]``."""
        features = self.convs(x)
        instances = self.fc(aggregate_instances(self.activation(features), features, self.groups))
        return self.cls_score(instances), self.objectness(instances).squeeze(2), self.mask_kernel(instances)


class MaskBranch(BaseModule):
    """Features that the mask kernels are multiplied with.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the convolutions.
        convs: Number of 3x3 convolutions.
        kernel_channels: Channels of the output.
        norm_cfg: Norm of the convolutions.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.sparseinst import MaskBranch
        >>> MaskBranch(8, 8, 1, kernel_channels=6, norm_cfg=None)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 6, 6, 6])
    """

    def __init__(
        self, in_channels: int, channels: int, convs: int, kernel_channels: int, norm_cfg: dict | None
    ) -> None:
        super().__init__()
        self.convs = stacked_convs(in_channels, channels, convs, norm_cfg)
        self.projection = ConvModule(channels, kernel_channels, 1, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, D, H, W]``."""
        return self.projection(self.convs(x))
