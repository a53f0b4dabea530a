"""torchvision's Mask R-CNN, with the same work to do as MMDetection's detectors."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.detection import maskrcnn_resnet50_fpn

from .subject import DETECTIONS, Subject

_CLASSES = 4


class TorchvisionSubject(Subject):
    """``maskrcnn_resnet50_fpn`` with random weights, on images of one size without resizing.

    As in MMDetection's config, the stem, the first stage and all batch normalisation are frozen.

    Args:
        size: Width and height of the images.
        device: Where it runs.
        proposals: For each image of a batch, what the RoI head gets.
        score_thr: Lowest score of a detection; default is torchvision's.
    """

    def __init__(
        self,
        size: tuple[int, int],
        device: str,
        proposals: list[InstanceData] | None,
        score_thr: float | None = None,
    ) -> None:
        torch.manual_seed(0)
        self.model = maskrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=_CLASSES + 1,
            min_size=min(size),
            max_size=max(size),
            box_detections_per_img=DETECTIONS,
        ).to(device)
        body = self.model.backbone.body
        for module in (body.conv1, body.bn1, body.layer1):
            module.requires_grad_(False)
        self.optimizer = torch.optim.SGD(
            [p for p in self.model.parameters() if p.requires_grad], lr=1e-4, momentum=0.9
        )
        if score_thr is not None:
            self.set_score_threshold(score_thr)
        if proposals is not None:
            self._give(proposals)

    def _give(self, proposals: list[InstanceData]) -> None:
        choose = self.model.rpn.filter_proposals

        def choose_as_given(found: torch.Tensor, *args) -> tuple[list, list]:
            choose(found, *args)
            given = [p.to(found.device) for p in proposals[: len(found)]]
            return [p.bboxes for p in given], [p.scores for p in given]

        self.model.rpn.filter_proposals = choose_as_given

    def step(self, batch: dict) -> None:
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        device = next(self.model.parameters()).device
        targets = []
        for sample in batch['data_samples']:
            found = sample.gt_instances
            masks = torch.from_numpy(found.masks.masks)
            target = {'boxes': found.bboxes, 'labels': found.labels + 1, 'masks': masks}
            targets.append({name: value.to(device) for name, value in target.items()})
        loss = sum(self.model([image.to(device) / 255 for image in batch['inputs']], targets).values())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.inference_mode()
    def inference(self, batch: dict) -> torch.Tensor:
        self.model.eval()
        (found,) = self.model([batch['inputs'][0].to(next(self.model.parameters()).device) / 255])
        return found['scores']

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Detections of a grey image ``[H, W]``: ``boxes``, ``scores``, ``labels`` and bool ``masks``."""
        self.model.eval()
        device = next(self.model.parameters()).device
        (found,) = self.model([torch.from_numpy(image).to(device)[None].repeat(3, 1, 1) / 255])
        found['labels'] -= 1
        found['masks'] = found['masks'][:, 0] >= 0.5
        return {name: value.cpu().numpy() for name, value in found.items()}

    def set_score_threshold(self, value: float, count: int = DETECTIONS) -> None:
        self.model.roi_heads.score_thresh = value
        self.model.roi_heads.detections_per_img = count
