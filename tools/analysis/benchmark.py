#!/usr/bin/env python
"""Times the full method against stock Mask R-CNN, or any models, and the mask loss against its rivals, in one run.

The models take turns, so that whatever else the machine does meets all alike; medians and their ratios are printed.
Peak memory comes from one more process for each model and mode (resident memory, or the GPU allocator's peak).
Weights are random. So that all have the same to do, RoI heads get 1000 given proposals an image, and each model's
score threshold is such that it shows 100 detections.
"""

import argparse
import json
import math
import resource
import subprocess
import sys

from mmdet_ir.apis.errors import run_tool
from mmdet_ir.experiments.benchmark import (
    Subject,
    interleaved,
    make_batch,
    make_proposals,
    render_models,
    time_mask_losses,
)
from mmdet_ir.experiments.complexity import TABLE4
from mmdet_ir.fileio import write_text

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

MODES = ('step', 'inference')
PROPOSALS = 1000  # of each image, as MMDetection's Mask R-CNN keeps


def ask_child(config: str, question: str, args: argparse.Namespace, *more: str) -> float:
    """What :func:`answer` prints, in a process of its own."""
    command = [sys.executable, __file__, config, '--ask', question, '--size', *map(str, args.size), *more]
    command += ['--batch', str(args.batch), '--device', args.device, '--threads', str(args.threads)]
    command += ['--seed', str(args.seed)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def answer(args: argparse.Namespace) -> None:
    """Prints the score threshold for 100 detections, or the MiB that two rounds of a mode need at their peak."""
    batch = make_batch(args.size, args.batch, args.seed)
    proposals = make_proposals(batch, PROPOSALS, args.seed)
    subject = Subject(args.configs[0], args.device, proposals, args.score_thr)
    if args.ask == 'threshold':
        print(subject.keep_detections(batch))
        return
    for _ in range(2):
        getattr(subject, args.ask)(batch)
    if args.device.startswith('cuda'):
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/analysis/benchmark.py --table4 --repeats 9 --out work_dirs/benchmark.json',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    full = 'configs/ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py'
    parser.add_argument(
        'configs',
        nargs='*',
        default=['configs/ir/mask_rcnn.py', full],
        help='models to compare; ratios refer to the first (default: %(default)s)',
    )
    parser.add_argument('--table4', action='store_true', help="the seven models of the paper's Table 4")
    parser.add_argument('--size', nargs=2, type=int, default=(640, 512), metavar=('W', 'H'))
    parser.add_argument('--batch', type=int, default=2, help='images of a training step; inference takes one')
    parser.add_argument('--repeats', type=int, default=7, help='timed rounds (default: %(default)s)')
    parser.add_argument('--rois', type=int, default=256, help='RoIs of the mask loss (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--markdown', action='store_true', help='print one Markdown table of the models at the end')
    parser.add_argument('--out', help='write the numbers as JSON too')
    parser.add_argument('--ask', choices=('threshold', *MODES), help=argparse.SUPPRESS)
    parser.add_argument('--score-thr', type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table4:
        args.configs = list(TABLE4.values())
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')  # or each parameter's initialisation is printed
    if args.ask:
        answer(args)
        return
    print(f'device {args.device}, {args.threads} threads, torch {torch.__version__}, {args.size[0]}x{args.size[1]}')
    result: dict[str, dict[str, float]] = {}
    # Other processes, and first: a child process starts with its parent's peak of resident memory.
    thresholds = {name: ask_child(name, 'threshold', args) for name in args.configs}
    for mode in MODES:
        memory = {name: ask_child(name, mode, args, '--score-thr', str(thresholds[name])) for name in args.configs}
        result[f'{mode} peak memory [MiB]'] = memory
    batch = make_batch(args.size, args.batch, args.seed)
    proposals = make_proposals(batch, PROPOSALS, args.seed)
    subjects = {name: Subject(name, args.device, proposals, thresholds[name]) for name in args.configs}
    result['detections of inference'] = {name: len(s.inference(batch)) for name, s in subjects.items()}
    # Inference first: training steps would change what it detects.
    for mode in reversed(MODES):
        actions = {name: lambda s=s, m=mode: getattr(s, m)(batch) for name, s in subjects.items()}
        result[f'{mode} [s]'] = interleaved(actions, args.repeats, args.device)
    for classes in (4, 80):
        seconds = time_mask_losses(args.rois, classes, 10 * args.repeats, args.device)
        result[f'mask loss, {args.rois} RoIs, {classes} classes [s]'] = seconds
    for title, values in result.items():
        print(title)
        first = next(iter(values.values()))
        for name, value in values.items():
            print(f'  {name:56} {value:10.4g}   ratio to first {value / first if first else math.nan:7.3f}')
    if args.markdown:
        print(render_models(result, args.configs))
    if args.out:
        settings = {**vars(args), 'torch': torch.__version__, 'score_thresholds': thresholds}
        write_text(args.out, json.dumps({'settings': settings, 'medians': result}, indent=1))


if __name__ == '__main__':
    run_tool(main)
