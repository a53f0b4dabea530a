"""Masks of a trained model for boxes that are known already."""

import os

import numpy as np
import torch
from mmdet.models.dense_heads import CondInstMaskHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmdet.structures.mask import mask2bbox
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import InstanceData
from torch import Tensor

from ..binary_masks import binary_masks
from ..config.types import type_name
from ..datasets.wrappers import dataset_for_testing, pipeline_steps
from ..engine.fitting.weights import load_detector
from .launch import load_config

MASKS_AT_ONCE = 64  # full-size masks of an image that are held together


class MasksInBoxes:
    """A trained model that is asked for the masks of given boxes instead of its own detections.

    Which prediction belongs to a box is decided by the IoU of its box with the given one:

    - CondInst and BoxInst make a mask from any location of their feature maps. Candidates are those that the box would
      have trained, near its centre, whatever their score and before non-maximum suppression; only the chosen ones'
      masks are computed.
    - Of any other model the detections of the box's class are the candidates, as ``model.test_cfg`` lets them through.
      Where a model has masks only (SOLOv2), their boxes count.

    Args:
        config: Config file; its test pipeline loads the images.
        checkpoint: Trained weights, file or URL.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the config's.
    """

    def __init__(
        self,
        config: str | os.PathLike,
        checkpoint: str | os.PathLike,
        device: str | None = None,
        cfg_options: dict | None = None,
    ) -> None:
        cfg: Config = load_config(str(config), cfg_options)
        self.model = load_detector(cfg, checkpoint, device)
        self.name = str(config)
        self.classes = tuple(self.model.dataset_meta['classes'])
        steps = pipeline_steps(dataset_for_testing(cfg))
        self.pipeline = Compose([step for step in steps if type_name(step) != 'LoadAnnotations'])

    @torch.inference_mode()
    def __call__(self, image: dict, boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict the masks of an image's boxes.

        Args:
            image: What the test pipeline starts from: ``img_path``, ``img_id``, and where known ``height``, ``width``
                and the ``page`` of a stack.
            boxes: ``[N, 4]`` xyxy in pixels of the image file.
            labels: ``[N]`` indices into ``classes``.

        Returns:
            Masks ``[N, H, W]`` bool in the image file's size, not cut to the boxes and maybe empty; and the IoU
            ``[N]`` of the chosen prediction's box with the given one, 0 where there is no candidate.
        """
        data = self.model.data_preprocessor(pseudo_collate([self.pipeline(dict(image))]), False)
        inputs, sample = data['inputs'], data['data_samples'][0]
        boxes = torch.as_tensor(boxes, dtype=torch.float32, device=inputs.device).reshape(-1, 4)
        labels = torch.as_tensor(labels, device=inputs.device)
        by_location = isinstance(getattr(self.model, 'mask_head', None), CondInstMaskHead)
        choose = self._from_locations if by_location else self._from_detections
        masks, ious = choose(inputs, sample, boxes, labels)
        return masks, ious.cpu().numpy()

    def _from_locations(
        self, inputs: Tensor, sample: DetDataSample, boxes: Tensor, labels: Tensor
    ) -> tuple[np.ndarray, Tensor]:
        head, mask_head = self.model.bbox_head, self.model.mask_head
        features = self.model.extract_feat(inputs)
        _, deltas, _, params = head(features)
        sizes = [level.shape[-2:] for level in deltas]
        grids = head.prior_generator.grid_priors(sizes, dtype=boxes.dtype, device=boxes.device, with_stride=True)
        locations = torch.cat(grids)  # [P, 4]: x, y, stride, stride in pixels of the input
        predicted = head.bbox_coder.decode(locations[:, :2], _by_location(deltas), max_shape=sample.img_shape)
        wanted = boxes * boxes.new_tensor(sample.metainfo.get('scale_factor', (1, 1))).repeat(2)
        overlaps = bbox_overlaps(wanted, predicted)
        overlaps[~_near_centre(wanted, locations, head.center_sample_radius)] = -1
        ious, chosen = overlaps.max(dim=1)
        params, masks = _by_location(params), []
        for part, part_boxes in zip(chosen.split(MASKS_AT_ONCE), wanted.split(MASKS_AT_ONCE), strict=True):
            dynamic = InstanceData(param_preds=params[part], points=locations[part, :2], strides=locations[part, 2])
            logits = mask_head(features, [dynamic])[0]
            # (it scales the boxes that it is given back to the image file, in place)
            results = [InstanceData(bboxes=part_boxes.clone())]
            masks.append(mask_head.predict_by_feat(logits, results, [sample.metainfo], rescale=True)[0].masks.cpu())
        return binary_masks(torch.cat(masks), self.name).numpy(), ious

    def _from_detections(
        self, inputs: Tensor, sample: DetDataSample, boxes: Tensor, labels: Tensor
    ) -> tuple[np.ndarray, Tensor]:
        found = self.model.predict(inputs, [sample], rescale=True)[0].pred_instances
        if 'masks' not in found:
            raise ValueError(f'{self.name}: expected a model that predicts masks, got one for boxes only')
        masks = np.zeros((len(boxes), *sample.ori_shape[:2]), bool)
        if not len(found):
            return masks, boxes.new_zeros(len(boxes))
        found_masks = torch.as_tensor(binary_masks(found.masks, self.name))
        # SOLOv2 and its like give no boxes: those of the masks take their place.
        found_boxes = found.bboxes if found.bboxes.any() else mask2bbox(found_masks)
        overlaps = bbox_overlaps(boxes, found_boxes.to(boxes))
        ious, chosen = (overlaps * (labels[:, None] == found.labels)).max(dim=1)
        there = ious > 0
        masks[there.cpu().numpy()] = found_masks[chosen[there].to(found_masks.device)].cpu().numpy()
        return masks, ious


def _near_centre(boxes: Tensor, locations: Tensor, radius: float) -> Tensor:
    """Which locations lie within ``radius`` strides of the boxes' centres in x and y, as FCOS samples its targets.

    Args:
        boxes: ``[N, 4]`` xyxy.
        locations: ``[P, 4]``: x, y, stride, stride.
        radius: At least 0.5, so that each box has a location on every level that it lies in.

    Returns:
        ``[N, P]`` bool.
    """
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return ((locations[:, :2] - centres).abs() <= radius * locations[:, 2:]).all(dim=-1)


def _by_location(levels: list[Tensor]) -> Tensor:
    """Maps ``[1, C, H, W]`` of all levels as rows ``[P, C]``, in the order of the grids' locations."""
    return torch.cat([level[0].flatten(1) for level in levels], dim=1).T.float()
