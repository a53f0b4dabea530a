"""The mask part of BlendMask (Chen et al., CVPR 2020): bases, blender, mask loss and auxiliary semantic loss."""

from inspect import signature

import numpy as np
import torch
from mmcv.ops import RoIAlign
from mmdet.models.dense_heads.base_mask_head import BaseMaskHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import mask_target
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from mmengine.config import ConfigDict
from torch import Tensor

from .blender import blend_bases


@MODELS.register_module()
class BlendMaskHead(BaseMaskHead):
    """Blends bases of the image into one mask for each detection.

    In training the boxes are the ground truth's, and every positive location of FCOS blends the bases of its target
    with its own attention. The mask loss weighs a location by its centerness and divides by the sum of the
    centernesses, as FCOS does with its box loss (AdelaiDet).

    Args:
        basis_module: Config of :class:`BasisModule`.
        resolution: R, height and width of a blended mask.
        basis_stride: Input pixels per cell of the bases: half the stride of the first pyramid level.
        loss_mask: Config of the mask loss. With ``centerness_weighted`` a loss of pixels that takes ``weight`` and
            ``avg_factor``, else one called as ``FCNMaskHead`` does, with logits ``[N, 1, R, R]``, targets
            ``[N, R, R]`` and labels ``[N]``, such as ``MBCEDiceLovaszLoss``.
        loss_semantic: Config of the loss of semantic logits.
        centerness_weighted: Whether locations count by their centerness in the mask loss, or all alike.
        train_cfg: Not used.
        test_cfg: ``mask_thr_binary``, the probability from which a pixel belongs to the mask.
        init_cfg: Initialisation of the weights.

    Raises:
        ValueError: If ``loss_mask`` cannot be weighted although it should.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import BlendMaskHead
        >>> basis = {'type': 'BasisModule', 'in_channels': 8, 'num_classes': 4, 'channels': 8}
        >>> head = BlendMaskHead(basis).eval()
        >>> head(tuple(torch.zeros(1, 8, size, size) for size in (16, 8, 4)))[0].shape  # bases
        torch.Size([1, 4, 32, 32])
    """

    # As FCNMaskHead, whose way from mask logits in boxes to masks of images is borrowed.
    class_agnostic = True
    _predict_by_feat_single = FCNMaskHead._predict_by_feat_single

    def __init__(
        self,
        basis_module: dict,
        resolution: int = 56,
        basis_stride: int = 4,
        loss_mask: dict | None = None,
        loss_semantic: dict | None = None,
        centerness_weighted: bool = True,
        train_cfg: ConfigDict | None = None,
        test_cfg: ConfigDict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.basis_module = MODELS.build(basis_module)
        self.roi_align = RoIAlign(resolution, 1 / basis_stride, sampling_ratio=1, aligned=True)
        self.semantic_stride = 2 * basis_stride
        self.loss_mask = MODELS.build(loss_mask or {'type': 'CrossEntropyLoss', 'use_sigmoid': True})
        self.loss_semantic = MODELS.build(loss_semantic or {'type': 'CrossEntropyLoss', 'loss_weight': 0.3})
        self.centerness_weighted = centerness_weighted
        self.test_cfg = test_cfg
        if centerness_weighted and not {'weight', 'avg_factor'} <= set(signature(self.loss_mask.forward).parameters):
            raise ValueError(
                'expected a loss_mask that takes weight and avg_factor, or centerness_weighted=False, '
                f'got {type(self.loss_mask).__name__}'
            )

    def forward(self, x: tuple[Tensor, ...], instances: InstanceList | None = None) -> tuple[Tensor, Tensor | None]:
        """Computes the bases.

        Args:
            x: Pyramid levels, the finest first, each ``[B, C, H_i, W_i]``.
            instances: Not used: the bases are those of the whole image.

        Returns:
            Bases and, in training, semantic logits; see :meth:`BasisModule.forward`.
        """
        return self.basis_module(x)

    def pool(self, bases: Tensor, bboxes: list[Tensor]) -> Tensor:
        """Cuts the bases of boxes out, in float32, since RoIs in half precision would move.

        Args:
            bases: Shape ``[B, K, H, W]``.
            bboxes: Boxes of each image, ``[n_i, 4]``, xyxy in pixels of the network's input.

        Returns:
            Shape ``[sum n_i, K, R, R]``.
        """
        return self.roi_align(bases.float(), bbox2roi(bboxes).float())

    def loss_by_feat(
        self,
        bases: Tensor,
        semantic_logits: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        positive_infos: InstanceList,
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """Mask and semantic loss.

        Args:
            bases: Shape ``[B, K, H, W]``.
            semantic_logits: Shape ``[B, num_classes + 1, h, w]``.
            batch_gt_instances: ``bboxes`` (xyxy, pixels of the network's input), ``labels`` and ``masks`` (as large
                as the network's input) of each image.
            batch_img_metas: Meta information of each image.
            positive_infos: What :meth:`FCOSTopHead.get_positive_infos` returns.
            batch_gt_instances_ignore: Not used.

        Returns:
            ``loss_mask`` and ``loss_semantic``; without positive locations the former is a connected zero.
        """
        counts = torch.tensor([len(gt) for gt in batch_gt_instances])
        offsets = (counts.cumsum(0) - counts).tolist()
        gt_inds = torch.cat(
            [info.pos_assigned_gt_inds + offset for info, offset in zip(positive_infos, offsets, strict=True)]
        )
        attentions = torch.cat([info.attentions for info in positive_infos])
        weights = torch.cat([info.centerness_targets for info in positive_infos]).float()
        pooled = self.pool(bases, [gt.bboxes for gt in batch_gt_instances])
        logits = blend_bases(pooled[gt_inds], attentions)
        targets = self.mask_targets(batch_gt_instances)[gt_inds]
        semantic_targets = self.semantic_targets(batch_gt_instances, semantic_logits.device)
        return {
            'loss_mask': self.mask_loss(logits, targets, weights),
            'loss_semantic': self.loss_semantic(semantic_logits.float(), semantic_targets),
        }

    def mask_loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Loss of blended masks.

        Args:
            logits: Shape ``[N, R, R]``; N may be 0.
            targets: Shape ``[N, R, R]``, 0 or 1.
            weights: Centerness targets, shape ``[N]``.

        Returns:
            A scalar: ``sum_n weight_n * mean over pixels of the loss / sum_n weight_n``, the divisor averaged over
            processes.
        """
        total = reduce_mean(weights.sum()).clamp(min=1e-6)
        if not len(logits):
            return logits.sum()
        if not self.centerness_weighted:
            return self.loss_mask(
                logits[:, None], targets, torch.zeros(len(logits), dtype=torch.long).to(logits.device)
            )
        logits, targets = logits.flatten(1), targets.flatten(1)
        return self.loss_mask(
            logits, targets, weight=weights[:, None].expand_as(logits), avg_factor=total * logits.size(1)
        )

    def mask_targets(self, batch_gt_instances: InstanceList) -> Tensor:
        """Ground-truth masks within their own boxes.

        Args:
            batch_gt_instances: ``bboxes`` and ``masks`` of each image.

        Returns:
            Shape ``[M, R, R]``, M targets in the batch, 0 or 1.
        """
        # mmdet clips the boxes in place.
        bboxes = [gt.bboxes.clone() for gt in batch_gt_instances]
        inds = [torch.arange(len(b), device=b.device) for b in bboxes]
        cfg = ConfigDict(mask_size=self.roi_align.output_size)
        return mask_target(bboxes, inds, [gt.masks for gt in batch_gt_instances], cfg)

    def semantic_targets(self, batch_gt_instances: InstanceList, device: torch.device) -> Tensor:
        """Class of every cell of the first pyramid level, read at its top-left pixel (AdelaiDet).

        Args:
            batch_gt_instances: ``labels`` and ``masks`` of each image; where masks overlap, the later one counts.
            device: Where the result is needed.

        Returns:
            Shape ``[B, h, w]``, int64; ``num_classes`` is background.
        """
        targets = []
        for gt in batch_gt_instances:
            masks = gt.masks.to_ndarray()[:, :: self.semantic_stride, :: self.semantic_stride]
            rank = np.arange(1, len(masks) + 1)[:, None, None]
            topmost = torch.from_numpy((masks.astype(bool) * rank).max(axis=0, initial=0)).to(device)
            background = gt.labels.new_tensor([self.basis_module.num_classes])
            targets.append(torch.cat([background, gt.labels]).to(device)[topmost])
        return torch.stack(targets)

    def predict_by_feat(
        self,
        bases: Tensor,
        semantic_logits: Tensor | None,
        results_list: InstanceList,
        batch_img_metas: list[dict],
        rescale: bool = False,
    ) -> InstanceList:
        """Masks of detections.

        Args:
            bases: Shape ``[B, K, H, W]``.
            semantic_logits: Not used.
            results_list: ``bboxes`` (xyxy, pixels of the network's input), ``scores``, ``labels`` and ``attentions``
                of each image.
            batch_img_metas: Meta information of each image.
            rescale: Whether boxes and masks are returned for the original image instead of the network's input.

        Returns:
            ``results_list`` with ``masks``, bool, ``[n, height, width]``, instead of ``attentions``.
        """
        attentions = torch.cat([results.pop('attentions') for results in results_list])
        pooled = self.pool(bases, [results.bboxes for results in results_list])
        logits = blend_bases(pooled, attentions)[:, None].split([len(results) for results in results_list])
        return FCNMaskHead.predict_by_feat(self, logits, results_list, batch_img_metas, self.test_cfg, rescale)
