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

from ...cli.choices import MASKS
from .graph_input import GraphInput
from .pasting import paste_masks
from .sizes import Size, as_tensor

OUTPUTS = ('boxes', 'scores', 'labels', 'image', 'masks')
_NONE = -1.0  # score of a place without a box; real ones are 0 to 1
_MAX_RATIO = abs(math.log(16 / 1000))  # DeltaXYWHBBoxCoder's limit to the growth of a side


class ExportableMaskRCNN(nn.Module):
    """A two-stage detector with masks, from the image as stored to detections.

    Args:
        detector: Trained, in evaluation mode.
        prepare: What happens to the image before the network.
        masks: ``'raw'`` for the mask head's own grid over each box, ``'pasted'`` for masks of the image.

    Raises:
        ValueError: If the detector has a part, or a setting, that is not supported; the message names it.
    """

    def __init__(self, detector: TwoStageDetector, prepare: GraphInput, masks: str = 'raw') -> None:
        super().__init__()
        if masks not in MASKS:
            raise ValueError(f'masks: expected one of {MASKS}, got {masks!r}')
        _check_detector(detector)
        self.detector = detector
        self.prepare = prepare
        self.masks = masks

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Detects.

        Args:
            images: ``[N, channels, H, W]`` as stored, see ``GraphInput``.

        Returns:
            Of the D detections in all images, ordered by image and then by score: boxes ``[D, 4]``, xyxy in pixels of
            the image as stored; scores ``[D]``; labels ``[D]``; number of the image in the batch ``[D]``; masks:
            probabilities ``[D, m, m]`` over the box, or bool ``[D, H, W]``.
        """
        inputs, size, stored = self.prepare(images)
        features = self.detector.extract_feat(inputs)
        proposals, valid = self._propose(features, size)
        boxes, scores, labels, image = self._classify(features, proposals, valid, size)
        masks = self._segment(features, boxes, labels, image)
        if self.prepare.resizing is not None:
            new, old = (torch.stack([as_tensor(side, boxes) for side in reversed(sides)]) for sides in (size, stored))
            boxes = boxes / (new / old).repeat(2)
        if self.masks == 'pasted':
            threshold = self.detector.roi_head.test_cfg.mask_thr_binary
            masks = paste_masks(masks, boxes, *stored) >= threshold
        return boxes, scores, labels, image, masks

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
            rated, order = _best(rated, cfg.nms_pre)
            deltas = deltas.permute(0, 2, 3, 1).reshape(deltas.shape[0], -1, 4)
            deltas = deltas.gather(1, order[..., None].expand(-1, -1, 4))
            found = _decode(head.bbox_coder, priors[order], deltas, size)
            sides = found[..., 2:] - found[..., :2]
            real = (rated > _NONE) & (sides > cfg.get('min_bbox_size', -1)).all(dim=-1)
            # (a box without area suppresses none)
            found = torch.where(real[..., None], found, 0.0)
            rated = torch.where(real, rated, _NONE)
            kept = _suppress(found, rated, cfg.nms.iou_threshold)
            boxes.append(found)
            scores.append(torch.where(kept, rated, _NONE))
        scores, order = torch.cat(scores, dim=1).topk(_count(cfg.max_per_img, scores), dim=1)
        boxes = torch.cat(boxes, dim=1).gather(1, order[..., None].expand(-1, -1, 4))
        return boxes, scores > _NONE

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
        scores = torch.where(valid[..., None], scores, _NONE).flatten(1)
        per_box = 1 if head.reg_class_agnostic else classes
        deltas = deltas.reshape(-1, count, per_box, 4)
        boxes = _decode(head.bbox_coder, proposals[:, :, None].expand(-1, -1, per_box, -1), deltas, size)
        boxes = boxes.expand(-1, -1, classes, -1).flatten(1, 2)
        passed = (scores.flatten() > cfg.score_thr).nonzero().squeeze(1)
        groups = torch.stack((passed % classes, passed // (count * classes)), dim=1)
        chosen = _nms(boxes.flatten(0, 1)[passed], scores.flatten()[passed], groups, cfg.nms.iou_threshold)
        kept = torch.zeros_like(scores).flatten().scatter(0, passed, chosen.to(scores)).view_as(scores) > 0
        best, order = torch.where(kept, scores, _NONE).topk(min(cfg.max_per_img, count * classes), dim=1)
        image, rank = (best > _NONE).nonzero().unbind(1)
        place = order[image, rank]
        return boxes[image, place], best[image, rank], place % classes, image

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


def _best(scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """The best of each row and where they are; sizes that are not known yet are filled up to the limit."""
    count = scores.shape[1]
    if type(count) is int:
        return scores.topk(min(limit, count), dim=1)
    filling = scores.new_full((1, limit), _NONE).expand(scores.shape[0], -1)
    best, order = torch.cat((scores, filling), dim=1).topk(limit, dim=1)
    return best, torch.where(best > _NONE, order, 0)


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


def _nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """NMS; boxes of different groups do not meet.

    Args:
        boxes: ``[B, 4]`` xyxy, not negative.
        scores: ``[B]``.
        groups: ``[B, 2]``; one number shifts in x and one in y, so that the shifts stay small and float32 precise.
        iou_threshold: A box is dropped when its IoU with a better one is greater than this.

    Returns:
        Bool ``[B]``, what is kept.
    """
    # Two boxes without area are added, which suppress none: runtimes want at least one box, and torch.export takes it
    # for granted that NMS keeps two.
    boxes = torch.cat((boxes, boxes.new_zeros(2, 4)))
    scores = torch.cat((scores, scores.new_full((2,), _NONE)))
    shift = torch.cat((groups, groups.new_zeros(2, 2))) * (boxes.flatten().amax(dim=0) + 1)
    chosen = torchvision.ops.nms(boxes + shift.repeat(1, 2), scores, iou_threshold)
    return torch.zeros_like(scores).scatter(0, chosen, 1.0)[:-2] > 0


def _suppress(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """NMS within each image: boxes ``[N, B, 4]`` and scores ``[N, B]`` to bool ``[N, B]``, what is kept."""
    image = torch.arange(boxes.shape[0], device=boxes.device)[:, None].expand(-1, boxes.shape[1]).flatten()
    groups = torch.stack((torch.zeros_like(image), image), dim=1)
    return _nms(boxes.flatten(0, 1), scores.flatten(), groups, iou_threshold).view_as(scores)


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


def _check_detector(detector: nn.Module) -> None:
    """Refuses what ``ExportableMaskRCNN`` would not do as MMDetection does it.

    Raises:
        ValueError: Naming the part of the config.
    """
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
    for name, limit in (
        ('rpn.nms_pre', rpn.test_cfg.nms_pre),
        ('rpn.max_per_img', rpn.test_cfg.max_per_img),
        ('rcnn.max_per_img', roi.test_cfg.max_per_img),
    ):
        if limit < 1:  # (MMDetection takes it for: all)
            raise ValueError(f'export: model.test_cfg.{name}: expected a number from 1 on, got {limit}')
    for name, cfg in (('rpn', rpn.test_cfg.nms), ('rcnn', roi.test_cfg.nms)):
        expect(f'test_cfg.{name}.nms.type', cfg.get('type', 'nms'), 'nms')
        expect(f'test_cfg.{name}.nms', sorted(set(cfg) - {'type', 'split_thr'}), ['iou_threshold'])


def require(part: object, kind: type, name: str, exact: bool = False) -> None:
    """Refuses a part of another type.

    Raises:
        ValueError: Naming the part and both types.
    """
    if not (type(part) is kind if exact else isinstance(part, kind)):
        raise ValueError(f'export: {name}: expected {kind.__name__}, got {type(part).__name__}')


def expect(name: str, value: object, expected: object) -> None:
    """Refuses another value.

    Raises:
        ValueError: Naming the setting and both values.
    """
    if value != expected:
        raise ValueError(f'export: {name}: expected {expected!r}, got {value!r}')
