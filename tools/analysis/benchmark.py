#!/usr/bin/env python
"""Times the full method against stock Mask R-CNN, and the mask loss against its rivals, in one run.

The models take turns, so that whatever else the machine does meets both alike; medians and their ratios are printed.
Peak memory comes from one more process for each model and mode (resident memory, or the GPU allocator's peak).
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import mmdet_ir  # noqa: F401  (registers the models)
from mmdet_ir.datasets.synthetic import generate_scene
from mmdet_ir.fileio import write_text

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

MODES = ('step', 'inference')


def make_batch(size: tuple[int, int], images: int, seed: int) -> dict:
    """Synthetic scenes with targets, as a data loader would hand them to the model."""
    inputs, samples = [], []
    while len(inputs) < images:
        scene, seed = generate_scene(seed, size), seed + 1
        if not len(scene.labels):
            continue
        height, width = scene.image8.shape
        shape = (height, width)
        sample = DetDataSample(metainfo={'img_shape': shape, 'ori_shape': shape, 'scale_factor': (1, 1)})
        boxes = [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in map(np.nonzero, scene.masks)]
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(np.array(boxes), dtype=torch.float32),
            labels=torch.as_tensor(scene.labels, dtype=torch.long),
            masks=BitmapMasks(scene.masks.astype(np.uint8), height, width),
        )
        inputs.append(torch.from_numpy(scene.image8)[None].repeat(3, 1, 1))
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}


class Subject:
    """A model with its optimizer, ready to be timed."""

    def __init__(self, config: str, device: str) -> None:
        cfg = Config.fromfile(config)
        cfg.model.backbone.init_cfg = None  # times do not depend on weights, and no download is needed
        torch.manual_seed(0)
        self.model = MODELS.build(cfg.model).to(device)
        self.model.init_weights()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)

    def step(self, batch: dict) -> None:
        self.model.train()
        data = self.model.data_preprocessor({k: list(v) for k, v in batch.items()}, training=True)
        loss, _ = self.model.parse_losses(self.model(**data, mode='loss'))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.inference_mode()
    def inference(self, batch: dict) -> None:
        self.model.eval()
        one = {k: list(v)[:1] for k, v in batch.items()}
        self.model(**self.model.data_preprocessor(one, training=False), mode='predict')


def interleaved(actions: dict[str, Callable[[], None]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each action; the actions take turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for round_ in range(repeats + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if device.startswith('cuda'):
                torch.cuda.synchronize()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


class LoopMaskLoss(nn.Module):
    """The compound mask loss with the Lovasz part one RoI at a time, as usually published."""

    def forward(self, pred: torch.Tensor, target: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        logits = pred[torch.arange(len(pred)), label].flatten(1)
        target = target.flatten(1)
        probs = logits.sigmoid()
        bce = nn.functional.binary_cross_entropy_with_logits(logits, target)
        dice = 1 - 2 * (probs * target).sum(1) / (probs.sum(1) + target.sum(1))
        lovasz = logits.new_zeros(())
        for x, y in zip(probs, target, strict=True):
            errors, order = (y - x).abs().sort(descending=True)
            hit = y[order]
            jaccard = 1 - (hit.sum() - hit.cumsum(0)) / (hit.sum() + (1 - hit).cumsum(0))
            increments = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
            lovasz = lovasz + (errors * increments).sum()
        return bce + dice.mean() + 0.1 * lovasz / len(pred)


def time_mask_losses(rois: int, classes: int, repeats: int, device: str) -> dict[str, float]:
    """Median seconds of forward and backward of each mask loss, 28x28 logits."""
    gen = torch.Generator().manual_seed(0)
    pred = torch.randn(rois, classes, 28, 28, generator=gen).to(device).requires_grad_()
    target = (torch.rand(rois, 28, 28, generator=gen) > 0.5).float().to(device)
    label = torch.randint(0, classes, (rois,), generator=gen).to(device)
    losses = {
        'MBCEDiceLovaszLoss': MODELS.build({'type': 'MBCEDiceLovaszLoss'}),
        'CrossEntropyLoss': MODELS.build({'type': 'CrossEntropyLoss', 'use_mask': True}),
        'loop over RoIs': LoopMaskLoss(),
    }

    def action(loss: nn.Module) -> None:
        pred.grad = None
        loss(pred, target, label).sum().backward()

    return interleaved({name: lambda loss=loss: action(loss) for name, loss in losses.items()}, repeats, device)


def peak_memory(config: str, mode: str, args: argparse.Namespace) -> float:
    """MiB that two rounds of ``mode`` need at their peak, in a process of their own."""
    command = [sys.executable, __file__, config, '--memory-of', mode, '--size', *map(str, args.size)]
    command += ['--batch', str(args.batch), '--device', args.device, '--threads', str(args.threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def report_peak(args: argparse.Namespace) -> None:
    subject, batch = Subject(args.configs[0], args.device), make_batch(args.size, args.batch, args.seed)
    for _ in range(2):
        getattr(subject, args.memory_of)(batch)
    if args.device.startswith('cuda'):
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/analysis/benchmark.py --repeats 9 --out work_dirs/benchmark.json',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    full = 'configs/ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py'
    parser.add_argument(
        'configs',
        nargs='*',
        default=['configs/ir/mask_rcnn.py', full],
        help='models to compare; ratios refer to the first (default: %(default)s)',
    )
    parser.add_argument('--size', nargs=2, type=int, default=(640, 512), metavar=('W', 'H'))
    parser.add_argument('--batch', type=int, default=2, help='images of a training step; inference takes one')
    parser.add_argument('--repeats', type=int, default=7, help='timed rounds (default: %(default)s)')
    parser.add_argument('--rois', type=int, default=256, help='RoIs of the mask loss (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', help='write the numbers as JSON too')
    parser.add_argument('--memory-of', choices=MODES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    init_default_scope('mmdet')
    if args.memory_of:
        report_peak(args)
        return
    print(f'device {args.device}, {args.threads} threads, torch {torch.__version__}, {args.size[0]}x{args.size[1]}')
    batch = make_batch(args.size, args.batch, args.seed)
    subjects = {config: Subject(config, args.device) for config in args.configs}
    result: dict[str, dict[str, float]] = {}
    for mode in MODES:
        actions = {name: lambda s=s, m=mode: getattr(s, m)(batch) for name, s in subjects.items()}
        result[f'{mode} [s]'] = interleaved(actions, args.repeats, args.device)
    for mode in MODES:
        result[f'{mode} peak memory [MiB]'] = {name: peak_memory(name, mode, args) for name in subjects}
    for classes in (4, 80):
        seconds = time_mask_losses(args.rois, classes, 10 * args.repeats, args.device)
        result[f'mask loss, {args.rois} RoIs, {classes} classes [s]'] = seconds
    for title, values in result.items():
        print(title)
        first = next(iter(values.values()))
        for name, value in values.items():
            print(f'  {name:56} {value:10.4g}   ratio to first {value / first:7.3f}')
    if args.out:
        settings = {**vars(args), 'torch': torch.__version__}
        write_text(args.out, json.dumps({'settings': settings, 'medians': result}, indent=1))


if __name__ == '__main__':
    main()
