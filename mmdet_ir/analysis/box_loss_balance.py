"""How strongly a box loss pulls at the start of fine-tuning."""

import json
from pathlib import Path

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from torchvision.ops import box_convert

CODER = {'type': 'DeltaXYWHBBoxCoder', 'target_means': [0.0] * 4, 'target_stds': [0.1, 0.1, 0.2, 0.2]}


def positive_rois(annotations: Path, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """RoIs and their targets, each ``[count, 4]``, xyxy in pixels."""
    boxes = [a['bbox'] for a in json.loads(annotations.read_text())['annotations'] if not a.get('iscrowd')]
    boxes = torch.tensor(boxes)
    boxes = boxes[boxes[:, 2:].min(1).values > 0]
    gen = torch.Generator().manual_seed(seed)
    rois, targets = [], []
    while sum(map(len, rois)) < count:
        target = boxes[torch.randint(len(boxes), (count,), generator=gen)]
        centre, size = target[:, :2] + target[:, 2:] / 2, target[:, 2:]
        centre = centre + size * torch.randn(count, 2, generator=gen) * 0.15
        size = size * (torch.randn(count, 2, generator=gen) * 0.2).exp()
        roi = box_convert(torch.cat([centre, size], 1), 'cxcywh', 'xyxy')
        target = box_convert(target, 'xywh', 'xyxy')
        keep = bbox_overlaps(roi, target, is_aligned=True) >= 0.5
        rois.append(roi[keep])
        targets.append(target[keep])
    return torch.cat(rois)[:count], torch.cat(targets)[:count]


def gradient_norm(loss: dict, rois: torch.Tensor, targets: torch.Tensor) -> float:
    """Mean over RoIs of the gradient's L2 norm with respect to the RoI's deltas, at zero deltas."""
    coder = TASK_UTILS.build(CODER)
    deltas = torch.zeros_like(rois, requires_grad=True)
    if loss['type'] == 'SmoothL1Loss':
        pred, target = deltas, coder.encode(rois, targets)
    else:
        pred, target = coder.decode(rois, deltas), targets
    value = MODELS.build({**loss, 'reduction': 'sum'})(pred, target)
    return torch.autograd.grad(value, deltas)[0].norm(dim=1).mean().item()
