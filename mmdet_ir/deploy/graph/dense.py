"""Detectors that find boxes at each cell of their feature maps: RTMDet-Ins, CondInst, BoxInst and BlendMask.

MMDetection makes one grouped convolution of the dynamic convolutions of all detections of an image, whose number of
groups no exporter lets free. Here they are matrix products over all detections of a batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchvision
from mmdet.models.dense_heads import CondInstBboxHead, CondInstMaskHead, RTMDetInsHead, RTMDetInsSepBNHead
from mmdet.models.task_modules import DistancePointBBoxCoder, MlvlPointGenerator
from mmdet.models.utils import aligned_bilinear
from torch import Tensor, nn

from ...models import BlendMaskHead, FCOSTopHead
from ...models.blendmask import blend_bases
from .base import (
    NONE,
    Detections,
    ExportableDetector,
    best,
    expect,
    expect_limit,
    expect_plain_nms,
    keep_best,
    require,
)
from .pasting import paste_masks
from .sizes import Size, as_tensor


@dataclass
class _Chosen:
    """Detections of a batch, D of them, and where they were found.

    Attributes:
        boxes: ``[D, 4]`` xyxy in pixels of the network's input.
        scores: ``[D]``.
        labels: ``[D]``.
        image: ``[D]``, number in the batch.
        level: ``[D]``, of the feature maps.
        cell: ``[D]``, in the flattened map of the level.
        points: ``[D, 2]``, of the cells, xy in pixels of the network's input.
        strides: ``[D]``, of the levels, pixels.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    image: Tensor
    level: Tensor
    cell: Tensor
    points: Tensor
    strides: Tensor

    def and_one_more(self) -> '_Chosen':
        """With a detection at the first cell, as not every runtime takes an empty batch."""
        first = {name: value.new_zeros((1, *value.shape[1:])) for name, value in vars(self).items()}
        first |= {'boxes': self.boxes.new_tensor([[0.0, 0.0, 8.0, 8.0]]), 'strides': self.strides.new_full((1,), 8.0)}
        return _Chosen(**{name: torch.cat((value, first[name])) for name, value in vars(self).items()})


class _ExportableDense(ExportableDetector):
    """Selection of boxes, which the three have in common."""

    def thresholds(self) -> dict:
        cfg = self.detector.bbox_head.test_cfg
        return {
            'score_threshold': cfg.score_thr,
            'nms_iou_threshold': cfg.nms.iou_threshold,
            'max_per_image': cfg.max_per_img,
        }

    def choose(
        self,
        logits: Sequence[Tensor],
        distances: Sequence[Tensor],
        centernesses: Sequence[Tensor] | None,
        size: tuple[Size, Size],
    ) -> _Chosen:
        """Decodes boxes, suppresses doubles and keeps the best of each image.

        Args:
            logits: Of the classes, for each level ``[N, C, H_i, W_i]``.
            distances: From a cell's point to the four sides, pixels, ``[N, 4, H_i, W_i]``.
            centernesses: Logits ``[N, 1, H_i, W_i]``, whose probabilities are factors of the scores.
            size: Height and width of the image in the network's input.
        """
        head = self.detector.bbox_head
        cfg = head.test_cfg
        classes = head.cls_out_channels
        found: dict[str, list[Tensor]] = {
            name: [] for name in ('boxes', 'scores', 'labels', 'level', 'cell', 'points')
        }
        for level, (logit, distance) in enumerate(zip(logits, distances, strict=True)):
            scores = logit.permute(0, 2, 3, 1).flatten(1).sigmoid()
            scores, order = best(torch.where(scores > cfg.get('score_thr', 0), scores, NONE), cfg.nms_pre)
            cell, real = order // classes, scores > NONE
            points = head.prior_generator.single_level_grid_priors(
                distance.shape[-2:], level, distance.dtype, distance.device
            )[cell]
            boxes = _decode(points, _at_cells(distance, cell), size)
            if centernesses is not None:
                scores = scores * _at_cells(centernesses[level], cell)[..., 0].sigmoid()
            if cfg.get('min_bbox_size', -1) >= 0:
                real = real & (boxes[..., 2:] - boxes[..., :2] > cfg.min_bbox_size).all(dim=-1)
            found['boxes'].append(boxes)
            found['scores'].append(torch.where(real, scores, NONE))
            found['labels'].append(order % classes)
            found['level'].append(torch.full_like(order, level))
            found['cell'].append(cell)
            found['points'].append(points)
        lists = {name: torch.cat(values, dim=1) for name, values in found.items()}
        scores, count = lists['scores'], sum(int(values.shape[1]) for values in found['scores'])
        passed = (scores.flatten() > NONE).nonzero().squeeze(1)
        groups = torch.stack((lists['labels'].flatten()[passed], passed // count), dim=1)
        limit = min(cfg.max_per_img, count)
        rated, image, place = keep_best(lists['boxes'], scores, passed, groups, cfg.nms.iou_threshold, limit)
        chosen = {name: values[image, place] for name, values in lists.items() if name != 'scores'}
        strides = scores.new_tensor([stride[0] for stride in head.prior_generator.strides])[chosen['level']]
        return _Chosen(scores=rated, image=image, strides=strides, **chosen)

    @staticmethod
    def check_boxes(head: nn.Module) -> None:
        """Refuses what :meth:`choose` would do otherwise."""
        require(head.prior_generator, MlvlPointGenerator, 'bbox_head.anchor_generator')
        require(head.bbox_coder, DistancePointBBoxCoder, 'bbox_head.bbox_coder', exact=True)
        expect('bbox_head.bbox_coder.clip_border', head.bbox_coder.clip_border, True)
        expect('bbox_head.loss_cls.use_sigmoid', head.use_sigmoid_cls, True)
        for name in ('nms_pre', 'max_per_img'):
            expect_limit(name, head.test_cfg[name])
        expect_plain_nms('nms', head.test_cfg.nms)


class ExportableRTMDetIns(_ExportableDense):
    """RTMDet-Ins (Lyu et al., arXiv:2212.07784); see ``ExportableDetector``."""

    @staticmethod
    def check(detector: nn.Module) -> None:
        head = detector.bbox_head
        require(head, (RTMDetInsHead, RTMDetInsSepBNHead), 'bbox_head', exact=True)
        ExportableRTMDetIns.check_boxes(head)

    @staticmethod
    def mask_threshold(detector: nn.Module) -> tuple[dict, str]:
        return detector.bbox_head.test_cfg, 'mask_thr_binary'

    def detect(self, features: tuple[Tensor, ...], size: tuple[Size, Size], stored: tuple[Size, Size]) -> Detections:
        head = self.detector.bbox_head
        logits, distances, kernels, mask_features = head(features)
        found = self.choose(logits, distances, None, size)
        one_more = found.and_one_more()
        sides = mask_features.shape[-2:]
        coordinates = head.prior_generator.single_level_grid_priors(sides, 0, device=mask_features.device)
        masks = _dynamic_masks(
            mask_features,
            _relative(one_more.points, coordinates, one_more.strides, 8),
            one_more.image,
            _gather_cells(kernels, one_more),
            (head.num_prototypes + 2, *([head.dyconv_channels] * (head.num_dyconvs - 1)), 1),
        )
        stride = int(head.prior_generator.strides[0][0])
        masks = F.interpolate(masks[:, None], scale_factor=stride, mode='bilinear')
        if self.prepare.resizing is not None:
            wanted = [_scaled(*sides) for sides in zip(self.padded(size), size, stored, strict=True)]
            masks = F.interpolate(masks, size=wanted, mode='bilinear', align_corners=False)
        masks = masks[:-1, 0, : stored[0], : stored[1]].sigmoid() > head.test_cfg.mask_thr_binary
        return self.rescale(found.boxes, size, stored), found.scores, found.labels, found.image, masks


class ExportableCondInst(_ExportableDense):
    """CondInst (Tian et al., ECCV 2020), and BoxInst, which is a CondInst once trained; see ``ExportableDetector``."""

    @staticmethod
    def check(detector: nn.Module) -> None:
        head, mask_head = detector.bbox_head, detector.mask_head
        require(head, CondInstBboxHead, 'bbox_head')
        require(mask_head, CondInstMaskHead, 'mask_head')
        expect('mask_head.mask_feature_head.out_channels', mask_head.in_channels, mask_head.feat_channels)
        ExportableCondInst.check_boxes(head)

    @staticmethod
    def mask_threshold(detector: nn.Module) -> tuple[dict, str]:
        return detector.mask_head.test_cfg, 'mask_thr'

    def detect(self, features: tuple[Tensor, ...], size: tuple[Size, Size], stored: tuple[Size, Size]) -> Detections:
        head = self.detector.mask_head
        logits, distances, centernesses, parameters = self.detector.bbox_head(features)
        found = self.choose(logits, distances, centernesses, size)
        one_more = found.and_one_more()
        mask_features = head.mask_feature_head(features)
        coordinates = head.prior_generator.single_level_grid_priors(
            mask_features.shape[-2:], 0, device=mask_features.device
        )
        masks = _dynamic_masks(
            mask_features,
            _relative(one_more.points, coordinates, one_more.strides, head.size_of_interest),
            one_more.image,
            _gather_cells(parameters, one_more),
            (head.in_channels + 2, *([head.feat_channels] * (head.num_layers - 1)), 1),
        )[:, None]
        masks = aligned_bilinear(masks, head.mask_feat_stride // head.mask_out_stride).sigmoid()
        masks = aligned_bilinear(masks, head.mask_out_stride)[:, :, : size[0], : size[1]]
        if self.prepare.resizing is not None:
            masks = F.interpolate(masks, size=list(stored), mode='bilinear', align_corners=False)
        masks = masks[:-1, 0] > head.test_cfg.mask_thr
        return self.rescale(found.boxes, size, stored), found.scores, found.labels, found.image, masks


class ExportableBlendMask(_ExportableDense):
    """BlendMask (Chen et al., CVPR 2020); see ``ExportableDetector``."""

    over_boxes = True

    @staticmethod
    def check(detector: nn.Module) -> None:
        require(detector.bbox_head, FCOSTopHead, 'bbox_head')
        require(detector.mask_head, BlendMaskHead, 'mask_head')
        ExportableBlendMask.check_boxes(detector.bbox_head)

    @staticmethod
    def mask_threshold(detector: nn.Module) -> tuple[dict, str]:
        return detector.mask_head.test_cfg, 'mask_thr_binary'

    def detect(self, features: tuple[Tensor, ...], size: tuple[Size, Size], stored: tuple[Size, Size]) -> Detections:
        head = self.detector.mask_head
        logits, distances, centernesses, towers = self.detector.bbox_head(features)
        found = self.choose(logits, distances, centernesses, size)
        one_more = found.and_one_more()
        pool = head.roi_align
        pooled = torchvision.ops.roi_align(
            head.basis_module(features)[0],
            torch.cat((one_more.image[:, None].to(one_more.boxes), one_more.boxes), dim=1),
            pool.output_size,
            pool.spatial_scale,
            pool.sampling_ratio,
            pool.aligned,
        )
        masks = blend_bases(pooled, self._attentions(towers, one_more))[:-1].sigmoid()
        boxes = self.rescale(found.boxes, size, stored)
        if self.masks == 'pasted':
            masks = paste_masks(masks, boxes, *stored) >= head.test_cfg.mask_thr_binary
        return boxes, found.scores, found.labels, found.image, masks

    def _attentions(self, towers: Sequence[Tensor], found: _Chosen) -> Tensor:
        """As ``FCOSTopHead.attentions_at``: the top layer at the cells of the detections only."""
        head = self.detector.bbox_head
        rows, widths, areas, starts = [], [], [], []
        start: Size = 0
        for tower in towers:
            padded = F.pad(tower, (1, 1, 1, 1)).permute(0, 2, 3, 1)
            widths.append(as_tensor(padded.shape[2], found.cell))
            areas.append(as_tensor(padded.shape[1] * padded.shape[2], found.cell))
            rows.append(padded.flatten(0, 2))
            starts.append(as_tensor(start, found.cell))
            start = start + padded.shape[0] * padded.shape[1] * padded.shape[2]
        width, area, first = (torch.stack(values)[found.level] for values in (widths, areas, starts))
        row = torch.div(found.cell, width - 2, rounding_mode='floor')
        column = found.cell - row * (width - 2)
        corner = first + found.image * area + row * width + column
        window = torch.arange(3, device=corner.device)
        place = corner[:, None, None] + window[:, None] * width[:, None, None] + window
        patches = torch.cat(rows)[place.flatten()].reshape(-1, 3, 3, head.feat_channels)
        attentions = head.top_layer(patches.permute(0, 3, 1, 2))
        return attentions.reshape(-1, head.num_bases, head.attention_size, head.attention_size)


def _scaled(side: Size, new: Size, old: Size) -> Size:
    """``ceil(side / (new / old))``, as MMDetection computes it for sizes that are known.

    For other sizes it is exact. MMDetection's float64 is not: where ``side`` equals ``new``, it arrives at ``old + 1``
    for one size in twelve. Graphs have no float64 to repeat that.
    """
    if isinstance(side, int) and isinstance(new, int) and isinstance(old, int):
        return math.ceil(side * (1 / (new / old)))
    return (side * old + new - 1) // new


def _decode(points: Tensor, distances: Tensor, size: tuple[Size, Size]) -> Tensor:
    """Boxes ``[..., 4]`` of distances to the left, top, right and bottom, cut at the image."""
    boxes = torch.cat((points - distances[..., :2], points + distances[..., 2:]), dim=-1)
    height, width = (as_tensor(side, boxes) for side in size)
    return torch.minimum(boxes.clamp(min=0), torch.stack((width, height, width, height)))


def _at_cells(maps: Tensor, cell: Tensor) -> Tensor:
    """Values ``[N, K, C]`` of feature maps ``[N, C, H, W]`` at cells ``[N, K]``."""
    values = maps.permute(0, 2, 3, 1).flatten(1, 2)
    return values.gather(1, cell[..., None].expand(-1, -1, maps.shape[1]))


def _gather_cells(maps: Sequence[Tensor], found: _Chosen) -> Tensor:
    """Values ``[D, C]`` of the levels' feature maps, each ``[N, C, H_i, W_i]``, at the cells of detections."""
    rows, areas, starts = [], [], []
    start: Size = 0
    for values in maps:
        rows.append(values.permute(0, 2, 3, 1).flatten(0, 2))
        areas.append(as_tensor(values.shape[2] * values.shape[3], found.cell))
        starts.append(as_tensor(start, found.cell))
        start = start + values.shape[0] * values.shape[2] * values.shape[3]
    area, first = (torch.stack(values)[found.level] for values in (areas, starts))
    return torch.cat(rows)[first + found.image * area + found.cell]


def _relative(points: Tensor, coordinates: Tensor, strides: Tensor, reach: int) -> Tensor:
    """Way from each cell to a detection's point, ``[D, 2, cells]``, in units of ``reach`` strides."""
    ways = (points[:, None] - coordinates[None]).permute(0, 2, 1)
    return ways / (strides[:, None, None] * reach)


def _dynamic_masks(
    features: Tensor, relative: Tensor, image: Tensor, parameters: Tensor, channels: Sequence[int]
) -> Tensor:
    """Mask logits: layers of 1x1 convolutions, whose weights each detection brings.

    Args:
        features: Of the images, ``[N, C, h, w]``.
        relative: See :func:`_relative`, ``[D, 2, h * w]``.
        image: ``[D]``, number of the image.
        parameters: ``[D, P]``, the weights of all layers, then the biases of all.
        channels: Of the input and of each layer.

    Returns:
        ``[D, h, w]``.
    """
    values = torch.cat((relative, features.flatten(2)[image]), dim=1)
    pairs = list(zip(channels[:-1], channels[1:], strict=True))
    sizes = [given * made for given, made in pairs] + [made for _, made in pairs]
    parts = parameters.split(sizes, dim=1)
    for layer, (given, made) in enumerate(pairs):
        values = parts[layer].reshape(-1, made, given) @ values + parts[len(pairs) + layer][..., None]
        if layer < len(pairs) - 1:
            values = F.relu(values)
    return values.reshape(-1, features.shape[2], features.shape[3])
