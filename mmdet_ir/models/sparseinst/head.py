"""Head of SparseInst, its losses and its inference: Cheng et al., CVPR 2022."""

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.base_mask_head import BaseMaskHead
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.mask import mask2bbox
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from ..utils import to_full_precision
from .decoder import InstanceBranch, MaskBranch, append_coordinates


def mask_ious(logits: Tensor, targets: Tensor, threshold: float = 0.4) -> Tensor:
    """IoU of predicted masks with their targets, the objectness to be learned.

    Args:
        logits: Mask logits, shape ``[M, h, w]``.
        targets: Masks, shape ``[M, h, w]``, values in [0, 1]; foreground above 0.5.
        threshold: Probability from which a predicted pixel is foreground.

    Returns:
        Shape ``[M]``; 0 if both are empty.
    """
    predicted, wanted = (logits.sigmoid() >= threshold).flatten(1), (targets > 0.5).flatten(1)
    intersection, union = (predicted & wanted).sum(1), (predicted | wanted).sum(1)
    return intersection / union.clamp(min=1)


def maskness(probs: Tensor, threshold: float) -> Tensor:
    """Mean probability of the foreground of each mask, which rescores it.

    Args:
        probs: Mask probabilities, shape ``[N, h, w]``.
        threshold: Probability above which a pixel is foreground.

    Returns:
        Shape ``[N]``; 0 for a mask without foreground.
    """
    foreground = probs > threshold
    return (probs * foreground).sum((1, 2)) / foreground.sum((1, 2)).clamp(min=1)


def _drawn(targets: InstanceData) -> np.ndarray:
    """Which targets have a pixel, ``[T]``, bool: a crop may have cut the mask off and left some of the box."""
    return np.asarray(targets.masks.areas) > 0


@MODELS.register_module()
class SparseInstHead(BaseMaskHead):
    """Predicts ``num_masks`` instances an image and learns them by one-to-one matching.

    Follows ``BaseIAMDecoder``, ``GroupIAMDecoder`` and ``SparseInstCriterion`` of hustvl/SparseInst. Losses are
    computed in float32, whatever the autocast state.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the encoder's map.
        feat_channels: Channels of both branches.
        stacked_convs: Convolutions of each branch.
        num_masks: Instances an image.
        kernel_channels: Channels of mask kernels and mask features.
        groups: 1 for plain instance activation maps, 4 for the paper's group IAM.
        scale_factor: Size of the predicted masks over that of the encoder's map.
        loss_cls: Sigmoid classification loss, such as ``FocalLoss``, over all predictions; its sum is divided by the
            number of targets.
        loss_obj: Loss of the objectness of matched predictions, against the IoU of their masks.
        loss_mask: Mask loss of matched predictions, called as ``FCNMaskHead`` calls its own: logits
            ``[M, 1, h, w]``, targets ``[M, h, w]``, labels ``[M]``. So ``MBCEDiceLovaszLoss`` fits.
        loss_dice: Dice loss of matched predictions; its sum is divided by the number of targets. None if
            ``loss_mask`` has a Dice part.
        norm_cfg: Norm of the convolutions; none in the original.
        train_cfg: ``assigner``: config of :class:`SparseInstMatcher`.
        test_cfg: ``score_thr``: score that a prediction must exceed; ``mask_thr``: probability above which a pixel is
            foreground.
        init_cfg: Initialisation, on top of the original's.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import SparseInstHead
        >>> entropy = {'type': 'CrossEntropyLoss', 'use_sigmoid': True}
        >>> losses = {'loss_cls': {'type': 'FocalLoss'}, 'loss_obj': entropy, 'loss_mask': entropy}
        >>> small = {'in_channels': 8, 'feat_channels': 8, 'stacked_convs': 1, 'num_masks': 5}
        >>> head = SparseInstHead(num_classes=4, loss_dice={'type': 'DiceLoss'}, **losses, **small)
        >>> scores, objectness, masks = head((torch.zeros(1, 8, 6, 6),))
        >>> scores.shape, masks.shape
        (torch.Size([1, 5, 4]), torch.Size([1, 5, 12, 12]))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        num_masks: int = 100,
        kernel_channels: int = 128,
        groups: int = 4,
        scale_factor: int = 2,
        loss_cls: dict | None = None,
        loss_obj: dict | None = None,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        norm_cfg: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes, self.num_masks = num_classes, num_masks
        self.scale_factor = scale_factor
        inner = {'convs': stacked_convs, 'kernel_channels': kernel_channels, 'norm_cfg': norm_cfg}
        self.instance_branch = InstanceBranch(
            in_channels + 2, feat_channels, num_masks=num_masks, num_classes=num_classes, groups=groups, **inner
        )
        self.mask_branch = MaskBranch(in_channels + 2, feat_channels, **inner)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_obj = MODELS.build(loss_obj)
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_dice = None if loss_dice is None else MODELS.build(loss_dice)
        self.assigner = TASK_UTILS.build(train_cfg['assigner']) if train_cfg else None
        self.test_cfg = test_cfg

    def forward(self, x: tuple[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Predicts instances.

        Args:
            x: The encoder's map, ``[B, C, H, W]``, in a tuple.

        Returns:
            Class logits ``[B, N, num_classes]``, objectness logits ``[B, N]`` and mask logits ``[B, N, h, w]`` with
            ``h = scale_factor * H``, over the padded image.
        """
        features = append_coordinates(x[0])
        cls_logits, objectness, kernels = self.instance_branch(features)
        mask_features = self.mask_branch(features)
        masks = (kernels @ mask_features.flatten(2)).unflatten(2, mask_features.shape[2:])
        masks = F.interpolate(masks, scale_factor=self.scale_factor, mode='bilinear', align_corners=False)
        return cls_logits, objectness, masks

    def loss_by_feat(
        self,
        cls_logits: Tensor,
        objectness: Tensor,
        mask_logits: Tensor,
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        positive_infos: list[InstanceData] | None = None,
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Matches and computes the losses.

        Args:
            cls_logits: Shape ``[B, N, num_classes]``.
            objectness: Logits, shape ``[B, N]``.
            mask_logits: Shape ``[B, N, h, w]``.
            batch_gt_instances: For each image ``labels`` ``[T]`` and ``masks``, padded to the size of the batch.
            batch_img_metas: Not used.
            positive_infos: Not used.
            batch_gt_instances_ignore: Not used; ignored regions count as background.

        Returns:
            ``loss_cls``, ``loss_obj``, ``loss_mask`` and, unless it is None, ``loss_dice``. Without any matched
            prediction the last three are zeros that are connected to the graph.
        """
        with torch.autocast(mask_logits.device.type, enabled=False):
            cls_logits, objectness, mask_logits = map(to_full_precision, (cls_logits, objectness, mask_logits))
            labels, targets = self.get_targets(cls_logits, mask_logits, batch_gt_instances)
            matched = labels != self.num_classes
            count = sum(_drawn(gt).sum().item() for gt in batch_gt_instances)
            avg_factor = reduce_mean(cls_logits.new_tensor([count])).clamp(min=1).item()

            losses = {'loss_cls': self.loss_cls(cls_logits.flatten(0, 1), labels.flatten(), avg_factor=avg_factor)}
            if not matched.any():
                nothing = mask_logits.sum() * 0
                losses |= {'loss_obj': objectness.sum() * 0, 'loss_mask': nothing}
                return losses if self.loss_dice is None else losses | {'loss_dice': nothing}
            logits = mask_logits[matched]
            losses['loss_obj'] = self.loss_obj(objectness[matched], mask_ious(logits.detach(), targets))
            one_map = torch.zeros_like(labels[matched])  # one map for all classes
            losses['loss_mask'] = self.loss_mask(logits[:, None], targets, one_map)
            if self.loss_dice is not None:
                losses['loss_dice'] = self.loss_dice(logits, targets, avg_factor=avg_factor)
        return losses

    @torch.no_grad()
    def get_targets(
        self, cls_logits: Tensor, mask_logits: Tensor, batch_gt_instances: list[InstanceData]
    ) -> tuple[Tensor, Tensor]:
        """Matches each image.

        Args:
            cls_logits: Shape ``[B, N, num_classes]``.
            mask_logits: Shape ``[B, N, h, w]``.
            batch_gt_instances: As in :meth:`loss_by_feat`.

        Returns:
            Class of each prediction ``[B, N]``, ``num_classes`` for background, and the masks ``[M, h, w]`` of the
            M matched ones in their order, values in [0, 1]. A target without a mask, cut off by a crop, is matched by
            nothing: it is as like to one prediction as to another. (The authors' loader drops such targets.)
        """
        batch_labels, batch_targets = [], []
        for scores, masks, gt in zip(cls_logits, mask_logits, batch_gt_instances, strict=True):
            drawn = torch.from_numpy(_drawn(gt)).to(masks.device)
            targets = gt.masks.to_tensor(masks.dtype, masks.device)[drawn]
            targets = F.interpolate(targets[:, None], masks.shape[1:], mode='bilinear', align_corners=False)[:, 0]
            result = self.assigner.assign(
                InstanceData(scores=scores, masks=masks), InstanceData(labels=gt.labels[drawn], masks=targets)
            )
            matched = result.gt_inds > 0
            batch_labels.append(torch.where(matched, result.labels, self.num_classes))
            batch_targets.append(targets[result.gt_inds[matched] - 1])
        return torch.stack(batch_labels), torch.cat(batch_targets)

    def predict_by_feat(
        self,
        cls_logits: Tensor,
        objectness: Tensor,
        mask_logits: Tensor,
        batch_img_metas: list[dict],
        rescale: bool = False,
        results_list: list[InstanceData] | None = None,
    ) -> list[InstanceData]:
        """Scores, thresholds and resizes the predictions; nothing is suppressed.

        The score is ``sqrt(class * objectness)`` of the best class, times the :func:`maskness` at the predicted size.

        Args:
            cls_logits: Shape ``[B, N, num_classes]``.
            objectness: Logits, shape ``[B, N]``.
            mask_logits: Shape ``[B, N, h, w]``.
            batch_img_metas: ``batch_input_shape`` and ``img_shape``, and ``ori_shape`` if ``rescale``, as (h, w).
            rescale: Return masks at the original image's size instead of the input's.
            results_list: Not used.

        Returns:
            For each image ``scores`` ``[n]``, ``labels`` ``[n]``, ``masks`` ``[n, H, W]``, bool, and ``bboxes``
            ``[n, 4]``, xyxy in pixels, around the masks. Predictions whose mask is empty are left out.
        """
        cls_logits, objectness, mask_logits = map(to_full_precision, (cls_logits, objectness, mask_logits))
        batch_scores = (cls_logits.sigmoid() * objectness.sigmoid()[..., None]).sqrt()
        results = []
        for scores, logits, meta in zip(batch_scores, mask_logits, batch_img_metas, strict=True):
            scores, labels = scores.max(1)
            keep = scores > self.test_cfg['score_thr']
            scores, labels, probs = scores[keep], labels[keep], logits[keep].sigmoid()
            scores = scores * maskness(probs, self.test_cfg['mask_thr'])

            height, width = meta['img_shape'][:2]
            probs = F.interpolate(probs[:, None], meta['batch_input_shape'], mode='bilinear', align_corners=False)
            probs = probs[..., :height, :width]
            if rescale:
                probs = F.interpolate(probs, meta['ori_shape'][:2], mode='bilinear', align_corners=False)
            masks = probs[:, 0] > self.test_cfg['mask_thr']
            found = masks.flatten(1).any(1)
            masks = masks[found]
            results.append(
                InstanceData(bboxes=mask2bbox(masks), scores=scores[found], labels=labels[found], masks=masks)
            )
        return results
