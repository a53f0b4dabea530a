"""Test-time augmentation with masks: what the views of an image show is merged in the frame of the original image."""

from collections.abc import Sequence

import cv2
import numpy as np
import pycocotools.mask
import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, bbox_flip, bbox_overlaps, scale_boxes
from mmengine.config import ConfigDict
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...binary_masks import binary_masks, encode_masks

_FLIPPED_DIMS = {'horizontal': (-1,), 'vertical': (-2,), 'diagonal': (-2, -1)}
_NEEDED = ('ori_shape', 'scale_factor', 'flip')


@MODELS.register_module()
class IRTTAModel(BaseTTAModel):
    """Averages over flipped and scaled views of an image, masks included. The module's parameters are not touched.

    Models without masks: the boxes of all views are mapped to the original image and merged by class-wise NMS.

    ``masks='roi'``, for two-stage models, as Detectron2 does it: boxes as above; the mask head then looks at the
    merged boxes in every view, and the probabilities, flipped back, are averaged in the RoI before they are pasted.
    The features of all views are kept for that.

    ``masks='shape'``, for every model: instances of one class are taken as one where their masks' IoU reaches the
    threshold, at most one from each view, around the one with the highest score. That gives box and class. The mask
    is the average shape (:func:`average_shape`), since single-stage models return no probabilities to average.

    The score of an instance is the mean over all views of the best score there, 0 in a view that did not find it.

    Args:
        module: The model, or its config.
        tta_cfg: ``nms`` (of type ``'nms'``; for ``'shape'`` its ``iou_threshold`` counts) and ``max_per_img``. What is
            missing comes from the model's ``test_cfg``, else ``iou_threshold=0.5`` and ``max_per_img=100``.
        masks: ``'roi'``, ``'shape'``, or ``'auto'`` for ``'roi'`` where the model allows it.
        data_preprocessor: Replaces the model's.

    Raises:
        ValueError: For ``'roi'`` with a model that has no RoI head with ``StandardRoIHead``'s or ``CascadeRoIHead``'s
            way to predict masks, and for unknown ``masks``.

    Example:
        >>> from mmdet_ir.apis import test
        >>> metrics = test('config.py', 'weights.pth', work_dir='tta', tta=True)
        >>> 'coco/segm_mAP' in metrics
        True
    """

    def __init__(
        self,
        module: dict | nn.Module,
        tta_cfg: dict | None = None,
        masks: str = 'auto',
        data_preprocessor: dict | nn.Module | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor)
        if masks not in ('auto', 'roi', 'shape'):
            raise ValueError(f"IRTTAModel: masks: expected 'auto', 'roi' or 'shape', got {masks!r}")
        possible = _predicts_masks_in_rois(self.module)
        if masks == 'roi' and not possible:
            raise ValueError(
                f"IRTTAModel: masks='roi' needs a two-stage model whose RoI head predicts masks as StandardRoIHead or "
                f"CascadeRoIHead do, got {type(self.module).__name__}; 'shape' works with every model"
            )
        self.in_rois = possible and masks != 'shape'
        self.tta_cfg = _merge_settings(self.module, tta_cfg or {})

    def test_step(self, data: dict) -> list[DetDataSample]:
        """Predicts a batch of views and merges them.

        Args:
            data: ``inputs`` and ``data_samples``, each a list with an entry for every view: the batch in that view.

        Returns:
            A sample for each image, with the metainfo of its first view that is not flipped. ``pred_instances`` is in
            the frame of the original image: ``bboxes`` ``[n, 4]``, xyxy in pixels, ``scores`` in 0..1, falling,
            ``labels``, and ``masks`` ``[n, H, W]`` for models with masks.

        Raises:
            ValueError: If the batch has no views, or they do not say how they were made.
        """
        if not isinstance(data['data_samples'][0], list | tuple):
            raise ValueError("test-time augmentation: expected TestTimeAug as the pipeline's last transform, got none")
        for sample in (sample for view in data['data_samples'] for sample in view):
            missing = [key for key in _NEEDED if key not in sample.metainfo]
            if missing:
                raise ValueError(
                    f'test-time augmentation: meta_keys of PackDetInputs: expected {_NEEDED}, got no {missing}'
                )
        if not self.in_rois:
            return super().test_step(data)
        views = [{key: value[i] for key, value in data.items()} for i in range(len(data['inputs']))]
        return self._predict_in_rois(views)

    def _predict_in_rois(self, views: list[dict]) -> list[DetDataSample]:
        module, roi_head = self.module, self.module.roi_head
        features, detections, samples = [], [], []
        for view in views:
            prepared = module.data_preprocessor(view, False)
            samples.append(prepared['data_samples'])
            features.append(module.extract_feat(prepared['inputs']))
            proposals = module.rpn_head.predict(features[-1], samples[-1], rescale=False)
            metas = [sample.metainfo for sample in samples[-1]]
            detections.append(
                roi_head.predict_bbox(features[-1], metas, proposals, rcnn_test_cfg=roi_head.test_cfg, rescale=False)
            )
        metas = [[sample.metainfo for sample in view] for view in samples]
        for found, infos in zip(detections, metas, strict=True):
            for instances, meta in zip(found, infos, strict=True):
                instances.bboxes = from_view(instances.bboxes, meta)
        merged = [merge_boxes(image, **self.tta_cfg) for image in zip(*detections, strict=True)]
        probabilities = _mean_probabilities(roi_head, features, [results.bboxes for results in merged], metas)
        original = [{'ori_shape': meta['ori_shape'], 'scale_factor': (1.0, 1.0)} for meta in metas[0]]
        head = roi_head.mask_head[-1] if isinstance(roi_head, CascadeRoIHead) else roi_head.mask_head
        logits = [image.logit() for image in probabilities]  # (the head applies the sigmoid)
        head.predict_by_feat(logits, merged, original, rcnn_test_cfg=roi_head.test_cfg, rescale=True)
        return [_answer(image, results) for image, results in zip(zip(*samples, strict=True), merged, strict=True)]

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """Merges predictions that are in the size of the original image, but flipped as their views are.

        Args:
            data_samples_list: For each image its sample in every view.

        Returns:
            A sample for each image, as ``test_step`` returns it.

        Raises:
            ValueError: If masks are not binary.
        """
        return [self._merge_image(sorted(samples, key=_is_flipped)) for samples in data_samples_list]

    def _merge_image(self, samples: list[DetDataSample]) -> DetDataSample:
        found = [sample.pred_instances for sample in samples]
        for instances, sample in zip(found, samples, strict=True):
            # (models without box heads may fill in boxes of zeros)
            with_size = instances.bboxes.any(dim=1, keepdim=True)
            instances.bboxes = torch.where(with_size, _flipped(instances.bboxes, sample.metainfo), instances.bboxes)
            if 'masks' in instances:
                masks = binary_masks(instances.masks, 'test-time augmentation')
                instances.masks = flip_back(masks, sample.metainfo)
        merge = merge_instances if 'masks' in found[0] else merge_boxes
        return _answer(samples, merge(found, **self.tta_cfg))


def merge_boxes(views: Sequence[InstanceData], nms: dict, max_per_img: int) -> InstanceData:
    """Merges the boxes of one image by class-wise NMS, and averages their scores.

    Args:
        views: Of each view ``bboxes`` ``[n, 4]``, xyxy in pixels of the original image, ``scores`` and ``labels``.
        nms: As of ``batched_nms``. A view found what NMS kept if a box of its class reaches ``iou_threshold`` with it.
        max_per_img: Most instances to return.

    Returns:
        ``bboxes``, ``scores`` and ``labels``, best first.
    """
    boxes, scores, labels = (torch.cat([view[key] for view in views]) for key in ('bboxes', 'scores', 'labels'))
    if not len(boxes):
        return InstanceData(bboxes=boxes, scores=scores, labels=labels)
    _, kept = batched_nms(boxes, scores, labels, nms)
    same = (bbox_overlaps(boxes[kept], boxes) >= nms['iou_threshold']) & (labels[kept][:, None] == labels)
    same[torch.arange(len(kept), device=kept.device), kept] = True  # (a box without area has no IoU with itself)
    found = [part.amax(dim=1) for part in (same * scores).split([len(view) for view in views], dim=1) if part.numel()]
    merged = InstanceData(bboxes=boxes[kept], scores=sum(found) / len(views), labels=labels[kept])
    return merged[merged.scores.argsort(descending=True, stable=True)[:max_per_img]]


def merge_instances(views: Sequence[InstanceData], nms: dict, max_per_img: int) -> InstanceData:
    """Merges the instances of one image by their masks: see ``masks='shape'`` of ``IRTTAModel``.

    Args:
        views: Of each view ``bboxes``, ``scores``, ``labels`` and ``masks`` ``[n, H, W]``, bool, all of the original
            image.
        nms: Its ``iou_threshold`` is the least IoU of two masks of the same instance.
        max_per_img: Most instances to return.

    Returns:
        The same fields, best first.
    """
    all_views = InstanceData.cat(list(views))
    masks, scores, labels = (all_views[key].cpu().numpy() for key in ('masks', 'scores', 'labels'))
    view_of = np.repeat(np.arange(len(views)), [len(view) for view in views])
    groups = group_instances(masks, scores, labels, view_of, nms['iou_threshold'])
    means = [scores[group].sum() / len(views) for group in groups]
    order = np.argsort(np.negative(means), kind='stable')[:max_per_img]
    merged = all_views[torch.tensor([groups[i][0] for i in order], dtype=torch.long, device=all_views.labels.device)]
    if len(merged):
        merged.scores = merged.scores.new_tensor([means[i] for i in order])
        shapes = np.stack([average_shape(masks[groups[i]]) for i in order])
        merged.masks = torch.from_numpy(shapes).to(merged.labels.device)
    return merged


def from_view(boxes: Tensor, meta: dict) -> Tensor:
    """Maps boxes ``[n, 4]``, xyxy in pixels of a view, to the original image.

    The width to flip in is the original one: a view's ``img_shape`` may have grown by padding after the flip.
    """
    return _flipped(scale_boxes(boxes, [1 / factor for factor in meta['scale_factor']]), meta)


def to_view(boxes: Tensor, meta: dict) -> Tensor:
    """Maps boxes ``[n, 4]``, xyxy in pixels of the original image, to a view: the inverse of :func:`from_view`."""
    return scale_boxes(_flipped(boxes, meta), meta['scale_factor'])


def flip_back(masks: Tensor, meta: dict) -> Tensor:
    """Undoes the flip of a view in ``[..., h, w]``."""
    return masks.flip(_FLIPPED_DIMS[meta['flip_direction']]) if meta['flip'] else masks


def group_instances(
    masks: np.ndarray, scores: np.ndarray, labels: np.ndarray, views: np.ndarray, iou_threshold: float
) -> list[list[int]]:
    """Finds which instances of different views are the same.

    The best instance that is left takes from every other view the instance of its class that overlaps it most.
    Instances of one view are never put together: the model holds them to be different.

    Args:
        masks: ``[n, H, W]``, bool, all in one frame.
        scores: ``[n]``.
        labels: ``[n]``.
        views: ``[n]``, from 0.
        iou_threshold: Least IoU of two masks of the same instance.

    Returns:
        Indices of each group, its best instance first; groups by the score of that.
    """
    rles = encode_masks(masks)
    overlaps = np.asarray(pycocotools.mask.iou(rles, rles, [0] * len(rles))).reshape(len(rles), len(rles))
    overlaps[(labels[:, None] != labels) | (views[:, None] == views) | (overlaps < iou_threshold)] = -1
    groups = []
    free = np.ones(len(rles), dtype=bool)
    for best in np.argsort(-scores, kind='stable'):
        if not free[best]:
            continue
        group = [int(best)]
        for view in np.unique(views):
            candidates = np.where(free & (views == view), overlaps[best], -1)
            if candidates.max() > 0:
                group.append(int(candidates.argmax()))
        free[group] = False
        groups.append(group)
    return groups


def average_shape(masks: np.ndarray) -> np.ndarray:
    """Averages binary masks through their signed distances to the contour.

    The mean of two masks as numbers is 0.5 wherever they differ, so a threshold takes the union or the intersection;
    the mean of the distances runs halfway between the contours. Source: Rohlfing & Maurer, "Shape-based averaging",
    IEEE Transactions on Image Processing 16 (2007).

    Args:
        masks: ``[n, H, W]``, bool. Empty ones do not count. Pixels with a mean of exactly 0 are as in the first.

    Returns:
        ``[H, W]``, bool.
    """
    first, masks = masks[0], masks[masks.any(axis=(1, 2))]
    if len(masks) < 2:
        return masks[0] if len(masks) else first
    x, y, width, height = cv2.boundingRect(masks.any(axis=0).astype(np.uint8))
    window = slice(y, y + height), slice(x, x + width)
    # the border makes everything beyond the image background
    crops = np.pad(masks[:, window[0], window[1]], ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    mean = sum(_distances(crop) - _distances(1 - crop) for crop in crops)[1:-1, 1:-1]
    result = np.zeros_like(first)
    result[window] = (mean > 0) | ((mean == 0) & first[window])
    return result


def _distances(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest 0."""
    return cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _mean_probabilities(
    roi_head: BaseRoIHead, features: list[tuple[Tensor, ...]], boxes: list[Tensor], metas: list[list[dict]]
) -> list[Tensor]:
    """Mask probabilities ``[n, C, h, w]`` of each image's boxes (original frame), averaged over the views."""
    counts = [len(b) for b in boxes]
    if not sum(counts):
        return list(boxes)  # nothing to predict; not looked at
    total = 0
    for x, infos in zip(features, metas, strict=True):
        rois = bbox2roi([to_view(b, meta) for b, meta in zip(boxes, infos, strict=True)])
        images = _probabilities(roi_head, x, rois).split(counts)
        total = total + torch.cat([flip_back(p, meta) for p, meta in zip(images, infos, strict=True)])
    return list((total / len(features)).split(counts))


def _probabilities(roi_head: BaseRoIHead, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
    if not isinstance(roi_head, CascadeRoIHead):
        return roi_head._mask_forward(x, rois)['mask_preds'].float().sigmoid()
    stages = [roi_head._mask_forward(stage, x, rois)['mask_preds'] for stage in range(roi_head.num_stages)]
    return torch.stack([stage.float().sigmoid() for stage in stages]).mean(dim=0)


def _predicts_masks_in_rois(module: nn.Module) -> bool:
    """Whether boxes and masks come as ``TwoStageDetector`` with one of MMDetection's two plain RoI heads has them."""
    if not isinstance(module, TwoStageDetector) or not (module.with_rpn and module.with_mask):
        return False
    head = type(module.roi_head)
    plain = (StandardRoIHead.predict_mask, CascadeRoIHead.predict_mask)
    return (
        type(module).predict is TwoStageDetector.predict
        and head.predict is BaseRoIHead.predict
        and head.predict_mask in plain
    )


def _merge_settings(module: nn.Module, given: dict) -> ConfigDict:
    """``nms`` and ``max_per_img``: given, else the model's own, else usual values."""
    own = getattr(module, 'test_cfg', None) or {}
    own = own.get('rcnn') or own
    iou_threshold = (own.get('nms') or {}).get('iou_threshold', 0.5)
    defaults = {
        'nms': {'type': 'nms', 'iou_threshold': iou_threshold},
        'max_per_img': own.get('max_per_img', 100),
    }
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f'IRTTAModel: tta_cfg: expected {sorted(defaults)}, got {unknown}')
    settings = ConfigDict({**defaults, **given})
    if settings.nms.get('type', 'nms') != 'nms' or 'iou_threshold' not in settings.nms:
        raise ValueError(
            f"IRTTAModel: tta_cfg.nms: expected type 'nms' and an iou_threshold, got {dict(settings.nms)}"
        )
    return settings


def _answer(samples: Sequence[DetDataSample], results: InstanceData) -> DetDataSample:
    sample = min(samples, key=_is_flipped)
    sample.pred_instances = results
    return sample


def _is_flipped(sample: DetDataSample) -> bool:
    return bool(sample.metainfo['flip'])


def _flipped(boxes: Tensor, meta: dict) -> Tensor:
    """Flips boxes of the original size as the view is flipped; twice is not at all."""
    return bbox_flip(boxes, meta['ori_shape'], meta['flip_direction']) if meta['flip'] else boxes
