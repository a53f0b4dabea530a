#!/usr/bin/env python
"""Measures which `loss_weight` gives an IoU-type box loss the gradient of SmoothL1 at the start of fine-tuning.

The RoI head's regression layer is new when fine-tuning starts (the classes differ), so its deltas are near zero and a
positive RoI stands where the proposal stands. Positive RoIs are made from a data set's boxes: shifted and scaled at
random, kept if their IoU with the target is at least 0.5, the assigner's threshold. Printed is each loss's mean
gradient norm with respect to the four deltas of a RoI, and the weight that makes it SmoothL1's.
"""

import argparse
import json
from pathlib import Path

import mmdet_ir  # noqa: F401  (first: mmdet cannot be imported without it)

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/analysis/box_loss_balance.py data/real/annotations/train.json',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('annotations', type=Path, help='COCO file whose boxes are the targets')
    parser.add_argument('--rois', type=int, default=4000, help='how many RoIs to draw (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    rois, targets = positive_rois(args.annotations, args.rois, args.seed)
    reference = gradient_norm({'type': 'SmoothL1Loss'}, rois, targets)
    print(f'{"loss":14}  gamma  gradient norm  loss_weight to equal SmoothL1')
    print(f'{"SmoothL1Loss":14}      -  {reference:13.4f}                             1.0')
    for name in ('FocalCIoULoss', 'FocalEIoULoss', 'FocalSIoULoss'):
        for gamma in (0.0, 0.5):
            norm = gradient_norm({'type': name, 'gamma': gamma}, rois, targets)
            print(f'{name:14}  {gamma:5.2f}  {norm:13.4f}  {reference / norm:30.1f}')


if __name__ == '__main__':
    main()
