#!/usr/bin/env python
"""Times the full method against stock Mask R-CNN, and the mask loss against its rivals, in one run.

The models take turns, so that whatever else the machine does meets both alike; medians and their ratios are printed.
Peak memory comes from one more process for each model and mode (resident memory, or the GPU allocator's peak).
"""

import argparse
import json
import resource
import subprocess
import sys

from mmdet_ir.apis.errors import run_tool
from mmdet_ir.experiments.benchmark import Subject, interleaved, make_batch, make_proposals, time_mask_losses
from mmdet_ir.fileio import write_text

import torch
from mmengine.registry import init_default_scope

MODES = ('step', 'inference')
PROPOSALS = 1000  # of each image, as MMDetection's Mask R-CNN keeps


def peak_memory(config: str, mode: str, args: argparse.Namespace) -> float:
    """MiB that two rounds of ``mode`` need at their peak, in a process of their own."""
    command = [sys.executable, __file__, config, '--memory-of', mode, '--size', *map(str, args.size)]
    command += ['--batch', str(args.batch), '--device', args.device, '--threads', str(args.threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def report_peak(args: argparse.Namespace) -> None:
    batch = make_batch(args.size, args.batch, args.seed)
    subject = Subject(args.configs[0], args.device, make_proposals(batch, PROPOSALS, args.seed))
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
    result: dict[str, dict[str, float]] = {}
    # First, since a child process starts with its parent's peak of resident memory.
    for mode in MODES:
        result[f'{mode} peak memory [MiB]'] = {name: peak_memory(name, mode, args) for name in args.configs}
    batch = make_batch(args.size, args.batch, args.seed)
    proposals = make_proposals(batch, PROPOSALS, args.seed)
    subjects = {config: Subject(config, args.device, proposals) for config in args.configs}
    for mode in MODES:
        actions = {name: lambda s=s, m=mode: getattr(s, m)(batch) for name, s in subjects.items()}
        result[f'{mode} [s]'] = interleaved(actions, args.repeats, args.device)
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
    run_tool(main)
