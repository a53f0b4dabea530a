"""Mask R-CNN as one traceable function over the submodules of MMDetection's detector.

MMDetection predicts image by image, with Python lists and operators that exporters do not know. Here a batch passes
as a whole: a fixed number of proposals for each image, torchvision's NMS and RoIAlign, and detections of all images
in one list. Settings are read from the detector, so nothing is decided anew.
"""

import math

import torch
import torch.nn.functional as F
import torchvision
from mmcv.ops import RoIAlign
from mmdet.models.dense_heads import RPNHead
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder
from torch import Tensor, nn

from .base import (
    NONE,
    Detections,
    ExportableDetector,
    best,
    expect,
    expect_limit,
    expect_plain_nms,
    keep_best,
    nms,
    require,
)
from .pasting import paste_masks
from .sizes import Size, as_tensor

_MAX_RATIO = abs(math.log(16 / 1000))  # DeltaXYWHBBoxCoder's limit to the growth of a side


class ExportableMaskRCNN(ExportableDetector):
    """A two-stage detector with masks; see ``ExportableDetector``."""

    over_boxes = True

    @staticmethod
    def mask_threshold(detector: nn.Module) -> tuple[dict, str]:
        return detector.roi_head.test_cfg, 'mask_thr_binary'

    def thresholds(self) -> dict:
        cfg = self.detector.roi_head.test_cfg
        return {
            'score_threshold': cfg.score_thr,
            'nms_iou_threshold': cfg.nms.iou_threshold,
            'max_per_image': cfg.max_per_img,
        }

    def detect(self, features: tuple[Tensor, ...], size: tuple[Size, Size], stored: tuple[Size, Size]) -> Detections:
        proposals, valid = self._propose(features, size)
        boxes, scores, labels, image = self._classify(features, proposals, valid, size)
        masks = self._segment(features, boxes, labels, image)
        boxes = self.rescale(boxes, size, stored)
        if self.masks == 'pasted':
            threshold = self.detector.roi_head.test_cfg.mask_thr_binary
            masks = paste_masks(masks, boxes, *stored) >= threshold
        return boxes, scores, labels, image, masks

    @staticmethod
    def check(detector: nn.Module) -> None:
        require(detector, TwoStageDetector, 'model')
        rpn, roi = detector.rpn_head, detector.roi_head
        require(rpn, RPNHead, 'rpn_head', exact=True)
        require(roi, StandardRoIHead, 'roi_head', exact=True)
        require(rpn.prior_generator, AnchorGenerator, 'rpn_head.anchor_generator')
        require(roi.bbox_head, BBoxHead, 'roi_head.bbox_head')
        require(getattr(roi, 'mask_head', None), FCNMaskHead, 'roi_head.mask_head', exact=True)
        for name, head in (('rpn_head', rpn), ('roi_head.bbox_head', roi.bbox_head)):
            coder = head.bbox_coder
            require(coder, DeltaXYWHBBoxCoder, f'{name}.bbox_coder', exact=True)
            expect(f'{name}.bbox_coder.clip_border', coder.clip_border, True)
            expect(f'{name}.bbox_coder.add_ctr_clamp', coder.add_ctr_clamp, False)
        for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
            extractor = getattr(roi, name)
            require(extractor, SingleRoIExtractor, f'roi_head.{name}', exact=True)
            for layer in extractor.roi_layers:
                require(layer, RoIAlign, f'roi_head.{name}.roi_layer')
                expect(f'roi_head.{name}.roi_layer.pool_mode', layer.pool_mode, 'avg')
        expect('roi_head.shared_head', roi.with_shared_head, False)
        expect('roi_head.bbox_head.loss_cls.custom_activation', roi.bbox_head.custom_activation, False)
        expect('roi_head.bbox_head.with_reg', roi.bbox_head.with_reg, True)
        expect('rpn_head.loss_cls.use_sigmoid', rpn.use_sigmoid_cls, True)
        expect('test_cfg.rpn.min_bbox_size', rpn.test_cfg.get('min_bbox_size', -1) >= 0, True)
        expect_limit('rpn.nms_pre', rpn.test_cfg.nms_pre)
        for name, cfg in (('rpn', rpn.test_cfg), ('rcnn', roi.test_cfg)):
            expect_limit(f'{name}.max_per_img', cfg.max_per_img)
            expect_plain_nms(f'{name}.nms', cfg.nms)

    def _propose(self, features: tuple[Tensor, ...], size: tuple[Size, Size]) -> tuple[Tensor, Tensor]:
        """Region proposals ``[N, P, 4]``, in pixels of the network's input, and which there are, ``[N, P]``."""
        head = self.detector.rpn_head
        cfg = head.test_cfg
        boxes, scores = [], []
        for level, feature in enumerate(features):
            logits, deltas = head.forward_single(feature)
            cells = feature.shape[-2:]
            priors = head.prior_generator.single_level_grid_priors(cells, level, feature.dtype, feature.device)
            rated = logits.permute(0, 2, 3, 1).flatten(1).sigmoid()
            rated, order = best(rated, cfg.nms_pre)
            deltas = deltas.permute(0, 2, 3, 1).reshape(deltas.shape[0], -1, 4)
            deltas = deltas.gather(1, order[..., None].expand(-1, -1, 4))
            found = _decode(head.bbox_coder, priors[order], deltas, size)
            sides = found[..., 2:] - found[..., :2]
            real = (rated > NONE) & (sides > cfg.get('min_bbox_size', -1)).all(dim=-1)
            # (a box without area suppresses none)
            found = torch.where(real[..., None], found, 0.0)
            rated = torch.where(real, rated, NONE)
            kept = _suppress(found, rated, cfg.nms.iou_threshold)
            boxes.append(found)
            scores.append(torch.where(kept, rated, NONE))
        scores, order = torch.cat(scores, dim=1).topk(_count(cfg.max_per_img, scores), dim=1)
        boxes = torch.cat(boxes, dim=1).gather(1, order[..., None].expand(-1, -1, 4))
        return boxes, scores > NONE

    def _classify(
        self, features: tuple[Tensor, ...], proposals: Tensor, valid: Tensor, size: tuple[Size, Size]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Detections in pixels of the network's input: boxes, scores, labels and numbers of the images."""
        roi_head = self.detector.roi_head
        head, cfg = roi_head.bbox_head, roi_head.test_cfg
        count, classes = proposals.shape[1], head.num_classes
        numbers = torch.arange(proposals.shape[0], device=proposals.device)[:, None].expand(-1, count)
        logits, deltas = head(_pool(roi_head.bbox_roi_extractor, features, proposals.flatten(0, 1), numbers.flatten()))
        scores = F.softmax(logits, dim=-1)[:, :-1].reshape(-1, count, classes)
        scores = torch.where(valid[..., None], scores, NONE).flatten(1)
        per_box = 1 if head.reg_class_agnostic else classes
        deltas = deltas.reshape(-1, count, per_box, 4)
        boxes = _decode(head.bbox_coder, proposals[:, :, None].expand(-1, -1, per_box, -1), deltas, size)
        boxes = boxes.expand(-1, -1, classes, -1).flatten(1, 2)
        passed = (scores.flatten() > cfg.score_thr).nonzero().squeeze(1)
        groups = torch.stack((passed % classes, passed // (count * classes)), dim=1)
        limit = min(cfg.max_per_img, count * classes)
        rated, image, place = keep_best(boxes, scores, passed, groups, cfg.nms.iou_threshold, limit)
        return boxes[image, place], rated, place % classes, image

    def _segment(self, features: tuple[Tensor, ...], boxes: Tensor, labels: Tensor, image: Tensor) -> Tensor:
        """Probabilities ``[D, m, m]`` over each box."""
        roi_head = self.detector.roi_head
        # (one box more, as not every runtime takes an empty batch; OpenVINO pools an empty box to NaN)
        boxes = torch.cat((boxes, boxes.new_tensor([[0.0, 0.0, 8.0, 8.0]])))
        image = torch.cat((image, image.new_zeros(1)))
        logits = roi_head.mask_head(_pool(roi_head.mask_roi_extractor, features, boxes, image))[:-1]
        if roi_head.mask_head.class_agnostic:
            return logits[:, 0].sigmoid()
        # (one index into the flattened axes: after a gather OpenVINO's CPU plugin finds no detections at all)
        rows = torch.arange(labels.shape[0], device=labels.device) * logits.shape[1] + labels
        return logits.flatten(0, 1)[rows].sigmoid()


def _count(limit: int, scores: list[Tensor]) -> int:
    """The limit, or the number of scores in a row if that is less; the lengths are fixed."""
    return min(limit, sum(int(rated.shape[1]) for rated in scores))


def _decode(coder: DeltaXYWHBBoxCoder, boxes: Tensor, deltas: Tensor, size: tuple[Size, Size]) -> Tensor:
    """Boxes moved by the network's deltas and cut at the image, as ``DeltaXYWHBBoxCoder.decode`` does.

    Args:
        coder: Settings.
        boxes: ``[..., 4]`` xyxy in pixels of the network's input.
        deltas: ``[..., 4]``, normalised.
        size: Height and width of the image.

    Returns:
        ``[..., 4]``.
    """
    deltas = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    sides = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) * 0.5 + sides * deltas[..., :2]
    half = sides * deltas[..., 2:].clamp(-_MAX_RATIO, _MAX_RATIO).exp() * 0.5
    moved = torch.cat((centre - half, centre + half), dim=-1)
    height, width = (as_tensor(side, moved) for side in size)
    return torch.minimum(moved.clamp(min=0), torch.stack((width, height, width, height)))


def _suppress(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """NMS within each image: boxes ``[N, B, 4]`` and scores ``[N, B]`` to bool ``[N, B]``, what is kept."""
    image = torch.arange(boxes.shape[0], device=boxes.device)[:, None].expand(-1, boxes.shape[1]).flatten()
    groups = torch.stack((torch.zeros_like(image), image), dim=1)
    return nms(boxes.flatten(0, 1), scores.flatten(), groups, iou_threshold).view_as(scores)


def _pool(extractor: SingleRoIExtractor, features: tuple[Tensor, ...], boxes: Tensor, image: Tensor) -> Tensor:
    """RoIAlign on the level that fits each box.

    Args:
        extractor: Settings.
        features: Of the levels, each ``[N, C, H_i, W_i]``.
        boxes: ``[R, 4]`` xyxy in pixels of the network's input.
        image: ``[R]``, number of the image in the batch.

    Returns:
        ``[R, C, s, s]``.
    """
    rois = torch.cat((image[:, None].to(boxes), boxes), dim=1)
    levels = extractor.map_roi_levels(rois, extractor.num_inputs)
    pooled, members = [], []
    for level, (feature, layer) in enumerate(zip(features, extractor.roi_layers, strict=False)):
        members.append((levels == level).nonzero().squeeze(1))
        pooled.append(
            torchvision.ops.roi_align(
                feature, rois[members[-1]], layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned
            )
        )
    members = torch.cat(members)
    # back into the order of the boxes
    places = torch.zeros_like(levels).scatter(0, members, torch.arange(members.shape[0], device=boxes.device))
    return torch.cat(pooled)[places]
