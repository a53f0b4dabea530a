"""Detectors that find masks without boxes: SOLOv2 and SparseInst."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOV2Head
from mmdet.models.detectors.base import BaseDetector
from torch import Tensor, nn

from ...models import FineSOLOV2Head, InstanceContextEncoder, SparseInstHead
from ...models.sparseinst.encoder import PyramidPooling
from .base import NONE, Detections, ExportableDetector, boxes_around, expect, expect_limit, require
from .graph_input import GraphInput
from .sizes import Size


class _ExportableMaskList(ExportableDetector):
    """What both do with the masks that they have found."""

    boxes_of_masks = True

    def to_image(
        self, masks: Tensor, padded: tuple[Size, Size], size: tuple[Size, Size], stored: tuple[Size, Size]
    ) -> Tensor:
        """Masks of the image, bool ``[D, H, W]``, from probabilities ``[D, h, w]`` over the padded input."""
        masks = F.interpolate(masks[:, None], size=list(padded), mode='bilinear', align_corners=False)
        masks = masks[:, :, : size[0], : size[1]]
        if self.prepare.resizing is not None:
            masks = F.interpolate(masks, size=list(stored), mode='bilinear', align_corners=False)
        settings, key = self.mask_threshold(self.detector)
        return masks[:, 0] > settings[key]

    @staticmethod
    def mask_threshold(detector: nn.Module) -> tuple[dict, str]:
        return detector.mask_head.test_cfg, 'mask_thr'


class ExportableSOLOv2(_ExportableMaskList):
    """SOLOv2 (Wang et al., NeurIPS 2020); see ``ExportableDetector``."""

    @staticmethod
    def check(detector: nn.Module) -> None:
        head = detector.mask_head
        require(head, (SOLOV2Head, FineSOLOV2Head), 'mask_head', exact=True)
        expect('mask_head.dynamic_conv_size', head.dynamic_conv_size, 1)
        for name in ('nms_pre', 'max_per_img'):
            expect_limit(name, head.test_cfg[name])

    def thresholds(self) -> dict:
        cfg = self.detector.mask_head.test_cfg
        return {
            'score_threshold': max(cfg.filter_thr, 0),
            'nms_iou_threshold': None,
            'max_per_image': cfg.max_per_img,
        }

    def detect(self, features: tuple[Tensor, ...], size: tuple[Size, Size], stored: tuple[Size, Size]) -> Detections:
        head = self.detector.mask_head
        cfg, classes = head.test_cfg, head.cls_out_channels
        kernels, logits, mask_features = head(features)
        kernels = torch.cat([kernel.permute(0, 2, 3, 1).flatten(1, 2) for kernel in kernels], dim=1)
        rated = torch.cat([_highest_around(logit.sigmoid()) for logit in logits], dim=1)
        levels = zip(head.num_grids, head.strides, strict=True)
        least_area = torch.cat([rated.new_full((grid**2,), stride) for grid, stride in levels])
        # One candidate more than there are, without a score: not every runtime takes an empty batch.
        image, place, label = F.pad((rated > cfg.score_thr).nonzero(), (0, 0, 0, 1)).unbind(1)
        scores = rated[image, place, label]
        scores = torch.cat((scores[:-1], scores.new_full((1,), NONE)))
        masks = _product(kernels[image, place], mask_features, image).sigmoid()
        inside = (masks > cfg.mask_thr).to(masks)
        area = inside.sum((1, 2))
        scores = scores * (masks * inside).sum((1, 2)) / area.clamp(min=1)
        scores = torch.where((area > least_area[place]) & (scores > 0), scores, NONE)
        # place of a candidate among all that its image could have
        slot = (image, place * classes + label)
        shape = (rated.shape[0], sum(grid**2 for grid in head.num_grids) * classes)

        chosen = _best_of_each_image(scores, *slot, shape, cfg.nms_pre)
        decay = _decay(inside[chosen], area[chosen], (image * classes + label)[chosen], cfg)
        scores = torch.full_like(scores, NONE).scatter(0, chosen[:-1], (scores[chosen] * decay)[:-1])
        scores = torch.where(scores >= max(cfg.filter_thr, 0), scores, NONE)
        chosen = _best_of_each_image(scores, *slot, shape, cfg.max_per_img)
        padded = [side * head.mask_stride for side in mask_features.shape[-2:]]
        masks = self.to_image(masks[chosen], padded, size, stored)[:-1]
        chosen = chosen[:-1]
        return boxes_around(masks), scores[chosen], label[chosen], image[chosen], masks


def _highest_around(scores: Tensor) -> Tensor:
    """Scores ``[N, C, g, g]`` as ``[N, g * g, C]``, 0 where a cell above or to the left has more."""
    highest = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return (scores * (highest == scores)).permute(0, 2, 3, 1).flatten(1, 2)


def _product(kernels: Tensor, features: Tensor, image: Tensor) -> Tensor:
    """Mask logits ``[D, h, w]`` of kernels ``[D, C]`` on the features ``[N, C, h, w]`` of their images ``[D]``."""
    every = (kernels @ features.flatten(2)).flatten(0, 1)  # of each kernel on each image
    rows = image * kernels.shape[0] + torch.arange(kernels.shape[0], device=image.device)
    return every[rows].reshape(-1, features.shape[2], features.shape[3])


def _best_of_each_image(scores: Tensor, image: Tensor, slot: Tensor, shape: tuple[Size, int], limit: int) -> Tensor:
    """Indices of the best candidates, ordered by image and then by score; at the end that of the last candidate.

    Args:
        scores: ``[D]``, ``NONE`` for those that are out; the last candidate is always out.
        image: ``[D]``.
        slot: ``[D]``, a number below ``shape[1]`` that no other candidate of the image has.
        shape: Images, and slots of an image.
        limit: Of an image.
    """
    flat = image * shape[1] + slot
    table = scores.new_full((shape[0] * shape[1],), NONE).scatter(0, flat[:-1], scores[:-1])
    number = torch.arange(scores.shape[0], device=scores.device)
    numbers = torch.zeros_like(table).to(number).scatter(0, flat[:-1], number[:-1])
    highest, order = table.reshape(-1, shape[1]).topk(min(limit, shape[1]), dim=1)
    row, rank = (highest > NONE).nonzero().unbind(1)
    return torch.cat((numbers[row * shape[1] + order[row, rank]], number[-1:]))


def _decay(masks: Tensor, area: Tensor, group: Tensor, cfg: dict) -> Tensor:
    """Factors ``[D]`` of Matrix NMS (SOLOv2, Eq. 5) for masks ``[D, h, w]`` of 0 and 1, ordered by score in groups."""
    flat = masks.flatten(1)
    common = flat @ flat.T
    number = torch.arange(area.shape[0], device=area.device)
    rival = (number[:, None] < number) & (group[:, None] == group)
    iou = torch.where(rival, common / (area[:, None] + area - common).clamp(min=1), 0.0)
    most = iou.amax(dim=0)[:, None]
    if cfg['kernel'] == 'gaussian':
        return ((-cfg['sigma'] * iou**2).exp() / (-cfg['sigma'] * most**2).exp()).amin(dim=0)
    return ((1 - iou) / (1 - most)).amin(dim=0)


class ExportableSparseInst(_ExportableMaskList):
    """SparseInst (Cheng et al., CVPR 2022); see ``ExportableDetector``."""

    def __init__(self, detector: BaseDetector, prepare: GraphInput, masks: str | None = None) -> None:
        super().__init__(detector, prepare, masks)
        self.detector = deepcopy(detector)
        self.detector.neck.pooling = _Pooling(self.detector.neck.pooling)

    @staticmethod
    def check(detector: nn.Module) -> None:
        require(detector.mask_head, SparseInstHead, 'mask_head')
        require(detector.neck, InstanceContextEncoder, 'neck')

    def thresholds(self) -> dict:
        head = self.detector.mask_head
        return {
            'score_threshold': head.test_cfg['score_thr'],
            'nms_iou_threshold': None,
            'max_per_image': head.num_masks,
        }

    def detect(self, features: tuple[Tensor, ...], size: tuple[Size, Size], stored: tuple[Size, Size]) -> Detections:
        head = self.detector.mask_head
        logits, objectness, masks = head(features)
        masks = masks.sigmoid()
        scores, labels = (logits.sigmoid() * objectness.sigmoid()[..., None]).sqrt().max(dim=2)
        inside = masks > head.test_cfg['mask_thr']
        rescored = scores * (masks * inside).sum((2, 3)) / inside.sum((2, 3)).clamp(min=1)
        rescored = torch.where(scores > head.test_cfg['score_thr'], rescored, NONE)
        scores, order = rescored.topk(head.num_masks, dim=1)
        image, rank = F.pad((scores > NONE).nonzero(), (0, 0, 0, 1)).unbind(1)  # (one more, as for SOLOv2)
        place = order[image, rank]
        masks = self.to_image(masks[image, place], self.padded(size), size, stored)[:-1]
        boxes = boxes_around(masks)
        kept = (boxes[:, 2] > 0).nonzero().squeeze(1)  # a mask without a pixel is left out
        image, rank, place = (index[:-1][kept] for index in (image, rank, place))
        return boxes[kept], scores[image, rank], labels[image, place], image, masks[kept]


class _Pooling(nn.Module):
    """``PyramidPooling`` as matrix products: exporters take adaptive pooling only of sizes that it divides."""

    def __init__(self, pooling: PyramidPooling) -> None:
        super().__init__()
        self.branches, self.bottleneck = pooling.branches, pooling.bottleneck
        self.pool_sizes = pooling.pool_sizes

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C, H, W]``."""
        height, width = x.shape[2:]
        pooled = [
            F.interpolate(
                branch(_shares(height, cells, x) @ x @ _shares(width, cells, x).T),
                [height, width],
                mode='bilinear',
                align_corners=False,
            )
            for cells, branch in zip(self.pool_sizes, self.branches, strict=True)
        ]
        return self.bottleneck(torch.cat([*pooled, x], 1))


def _shares(length: Size, cells: int, like: Tensor) -> Tensor:
    """Share of each pixel in the mean of each cell of adaptive pooling, ``[cells, length]``."""
    pixel = torch.arange(length, device=like.device)
    cell = torch.arange(cells, device=like.device)[:, None]
    first, end = cell * length // cells, ((cell + 1) * length + cells - 1) // cells
    inside = ((pixel >= first) & (pixel < end)).to(like)
    return inside / inside.sum(dim=1, keepdim=True)
