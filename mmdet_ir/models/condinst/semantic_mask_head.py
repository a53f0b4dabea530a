"""CondInst's auxiliary semantic head, which MMDetection left out (Tian et al., arXiv:2102.03026).

It follows the behaviour of AdelaiDet (``adet/modeling/condinst/mask_branch.py``): two 3x3 convolutions with BatchNorm
on the finest pyramid level, a 1x1 convolution to the classes, focal loss. It serves training only.
"""

import torch
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import CondInstMaskHead
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmdet.utils import InstanceList, reduce_mean
from mmengine.model import BaseModule, bias_init_with_prob
from torch import Tensor, nn

FOCAL_LOSS = {'type': 'FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25, 'loss_weight': 1.0}


def semantic_targets(masks: Tensor, labels: Tensor, num_classes: int, stride: int) -> Tensor:
    """Class of each cell, read at the pixel in its middle.

    Where instances overlap, the one with the smallest mask is seen.

    Args:
        masks: Instance masks, shape ``[N, H, W]``, bool, in the frame of the padded batch; N may be 0.
        labels: Their classes, shape ``[N]``.
        num_classes: Stands for background.
        stride: Size of a cell in pixels.

    Returns:
        Shape ``[ceil((H - stride // 2) / stride), ...]``, int64, values in ``[0, num_classes]``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.condinst import semantic_targets
        >>> masks = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> masks[0, :2, :2] = True
        >>> semantic_targets(masks, torch.tensor([2]), num_classes=4, stride=2)  # 4 is the background
        tensor([[2, 4],
                [4, 4]])
    """
    # Large masks first: later ones are drawn over them. The areas are those of the full masks.
    order = masks.flatten(1).sum(1).argsort(descending=True)
    cells = masks[order, stride // 2 :: stride, stride // 2 :: stride]
    background = torch.ones_like(cells[:1]) if len(cells) else masks.new_ones(1, *cells.shape[1:])
    layers = torch.cat([background, cells])
    depth = torch.arange(len(layers), device=masks.device)[:, None, None]
    top = (layers * depth).amax(0)
    return torch.cat([labels.new_full((1,), num_classes), labels[order]])[top]


class AuxiliarySemanticHead(BaseModule):
    """Per-class logits of each cell of one feature map.

    Args:
        num_classes: Foreground classes.
        in_channels: Channels of the feature map.
        feat_channels: Channels of the two convolutions.
        stride: Size of a cell in pixels.
        norm_cfg: Norm of the convolutions.
        loss_semantic: Config of a loss of logits ``[M, num_classes]`` and integer classes ``[M]`` in which
            ``num_classes`` is background, called with ``avg_factor``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import AuxiliarySemanticHead
        >>> AuxiliarySemanticHead(num_classes=4, in_channels=8, feat_channels=8)(torch.zeros(1, 8, 5, 6)).shape
        torch.Size([1, 4, 5, 6])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 256,
        feat_channels: int = 128,
        stride: int = 8,
        norm_cfg: dict | None = None,
        loss_semantic: dict | None = None,
    ) -> None:
        super().__init__()
        norm_cfg = norm_cfg or {'type': 'BN', 'requires_grad': True}
        self.convs = nn.Sequential(
            ConvModule(in_channels, feat_channels, 3, padding=1, norm_cfg=norm_cfg),
            ConvModule(feat_channels, feat_channels, 3, padding=1, norm_cfg=norm_cfg),
        )
        self.conv_logits = nn.Conv2d(feat_channels, num_classes, 1)
        self.num_classes = num_classes
        self.stride = stride
        self.loss_semantic = MODELS.build(loss_semantic or FOCAL_LOSS)

    def init_weights(self) -> None:
        """Uniform Kaiming with ``a=1`` for the convolutions; each class starts with a probability of 0.01."""
        for module in self.convs:
            nn.init.kaiming_uniform_(module.conv.weight, a=1)
        nn.init.constant_(self.conv_logits.bias, bias_init_with_prob(0.01))

    def forward(self, feature: Tensor) -> Tensor:
        """Returns logits ``[B, num_classes, h, w]`` from features ``[B, in_channels, h, w]``."""
        return self.conv_logits(self.convs(feature))

    def loss(self, feature: Tensor, batch_gt_instances: InstanceList) -> Tensor:
        """Focal loss, summed over cells and classes and divided by the number of foreground cells.

        Args:
            feature: Shape ``[B, in_channels, h, w]``.
            batch_gt_instances: ``masks`` and ``labels`` of each image; the masks have the size of the padded batch.

        Returns:
            A scalar; over several processes the divisor is their mean.

        Raises:
            ValueError: If feature and masks do not differ by the stride.
        """
        logits = self(feature)
        device = feature.device
        targets = torch.stack(
            [
                semantic_targets(gt.masks.to_tensor(torch.bool, device), gt.labels, self.num_classes, self.stride)
                for gt in batch_gt_instances
            ]
        )
        if targets.shape[1:] != logits.shape[2:]:
            raise ValueError(
                f'expected a feature map of stride {self.stride}, {[*targets.shape[1:]]}, got {[*logits.shape[2:]]}'
            )
        foreground = (targets < self.num_classes).sum().float()
        logits = logits.permute(0, 2, 3, 1).reshape(-1, self.num_classes).float()
        return self.loss_semantic(logits, targets.flatten(), avg_factor=reduce_mean(foreground).clamp(min=1).item())


@MODELS.register_module()
class CondInstSemanticMaskHead(CondInstMaskHead):
    """MMDetection's ``CondInstMaskHead`` with the auxiliary semantic loss ``loss_sem`` in training.

    Inference never calls the semantic head, and a checkpoint without it loads.

    Args:
        *args: Positional arguments of ``CondInstMaskHead``.
        semantic_head: Arguments of :class:`AuxiliarySemanticHead`; ``in_channels`` and ``stride`` default to those
            of the mask branch, which reads the same level.
        **kwargs: Keyword arguments of ``CondInstMaskHead``.

    Example:
        >>> from mmdet.registry import MODELS
        >>> from mmdet_ir.models import CondInstSemanticMaskHead
        >>> # as configs/baselines/condinst_r50_fpn_semantic.py names it
        >>> MODELS.get('CondInstSemanticMaskHead') is CondInstSemanticMaskHead
        True
    """

    def __init__(self, *args, semantic_head: dict, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        branch = self.mask_feature_head
        self.semantic_head = AuxiliarySemanticHead(
            **{'in_channels': branch.in_channels, 'stride': branch.mask_stride, **semantic_head}
        )

    def loss(
        self,
        x: tuple[Tensor, ...],
        batch_data_samples: SampleList,
        positive_infos: InstanceList | None = None,
        **kwargs,
    ) -> dict[str, Tensor]:
        """Losses of ``CondInstMaskHead`` and ``loss_sem``.

        Args:
            x: Pyramid levels, each ``[B, C, h, w]``.
            batch_data_samples: With ground truth; the masks are padded here.
            positive_infos: Positive locations of each image, from the box head.
            **kwargs: Passed on.
        """
        losses = super().loss(x, batch_data_samples, positive_infos, **kwargs)
        level = self.mask_feature_head.start_level
        # The parent has padded the masks in place.
        ground_truth = [sample.gt_instances for sample in batch_data_samples]
        return {**losses, 'loss_sem': self.semantic_head.loss(x[level], ground_truth)}
