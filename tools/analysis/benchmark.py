#!/usr/bin/env python
"""Times models against each other, in every form in which they can run, and says whether each form is right.

Each model in each form has a process of its own; the processes take turns, so that whatever else the machine does
meets all alike. Written are medians, their ratios, peak memory, operations a second beside what matrix products reach
on this machine, and how the detections differ from PyTorch's in float32.

Without a checkpoint weights are random. So that all have the same to do then, RoI heads get 1000 given proposals an
image, and each model's score threshold is such that it shows 100 detections. With one, real images are looked at, with
the model's own proposals and thresholds. Training steps always see synthetic scenes.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from mmdet_ir.cli import named_entries, run_tool, tool_parser
from mmdet_ir.cli.choices import EAGER, FORMS, TABLE4, TORCHVISION
from mmdet_ir.fileio import write_text
from mmdet_ir.model_zoo import own_config

FULL = 'configs/ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py'
PARTS = ('mask_losses', 'loading', 'evaluation')
RIVALS = ('configs/ir/mask_rcnn.py', FULL, 'configs/baselines/rtmdet-ins_tiny.py', TORCHVISION)
EPILOG = f"""\
examples:
  # stock Mask R-CNN, the full method, RTMDet-Ins-tiny and torchvision's Mask R-CNN, everything
  python tools/analysis/benchmark.py --all --out work_dirs/benchmark

  # the same without torch.compile, which takes minutes for each model
  python tools/analysis/benchmark.py --all --forms eager channels-last bf16 onnx openvino --out work_dirs/benchmark

  # two trained models on real images, an INT8 file made elsewhere beside their own forms
  python tools/analysis/benchmark.py CONFIG=CHECKPOINT CONFIG=CHECKPOINT --images data/real/images \\
      --exported work_dirs/int8.onnx --forms eager onnx openvino

  # quick look at small models; where an inference and a training step spend their time
  python tools/analysis/benchmark.py configs/quickstart/mask_rcnn_synthetic.py --size 320 256 --repeats 1 --no-steps
  python tools/analysis/benchmark.py configs/quickstart/mask_rcnn_synthetic.py --size 320 256 --profile

  # only data loading, or only the libraries that score masks
  python tools/analysis/benchmark.py --only loading
  python tools/analysis/benchmark.py --only evaluation --detections 2000

  # the models of the paper's Table 4, as PyTorch runs them
  python tools/analysis/benchmark.py --table4 --forms eager

Models are configs, or {TORCHVISION}. Forms: {', '.join(FORMS)}.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument(
        'models',
        nargs='*',
        metavar='CONFIG[=CHECKPOINT]',
        help=f'models to compare; ratios refer to the first (default: {" ".join(RIVALS)})',
    )
    parser.add_argument('--table4', action='store_true', help="the seven models of the paper's Table 4")
    parser.add_argument(
        '--forms',
        nargs='+',
        choices=FORMS,
        metavar='FORM',
        help=f'of inference, see below (default: {EAGER}, or all with --all)',
    )
    parser.add_argument(
        '--exported',
        nargs='+',
        default=[],
        metavar='FILE',
        help='.onnx or .xml files that were made of one of the models with its checkpoint, such as INT8',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        default=[],
        metavar='PATH',
        help='images, folders or globs to look at (default: a synthetic scene)',
    )
    parser.add_argument('--count', type=int, default=4, help='images to take, evenly (default: %(default)s)')
    parser.add_argument('--no-steps', action='store_true', help='inference only')
    parser.add_argument(
        '--all',
        action='store_true',
        help='every form but those that --forms leaves out, and mask losses, data loading and evaluation',
    )
    parser.add_argument(
        '--only',
        choices=PARTS,
        help='instead of models: the throughput of data loading with each tone mapping, the time of COCO evaluation '
        'with each library, or the mask losses',
    )
    parser.add_argument(
        '--detections', type=int, default=14_000, help='of the evaluation, in all (default: %(default)s)'
    )
    parser.add_argument(
        '--profile',
        action='store_true',
        help='instead: parts and operators of an inference and a training step of each model',
    )
    parser.add_argument(
        '--size', nargs=2, type=int, default=(640, 512), metavar=('W', 'H'), help='of the images (default: 640 512)'
    )
    parser.add_argument('--batch', type=int, default=2, help='images of a training step; inference takes one')
    parser.add_argument('--repeats', type=int, default=7, help='timed rounds (default: %(default)s)')
    parser.add_argument('--rois', type=int, default=256, help='RoIs of the mask loss (default: %(default)s)')
    parser.add_argument('--threads', type=int, metavar='N', help='default: all')
    parser.add_argument('--device', help="PyTorch's (default: cuda where there is one)")
    parser.add_argument('--seed', type=int, default=0, help='of scenes and proposals')
    parser.add_argument('--out', metavar='PATH', help='write PATH.json and PATH.md, anew after every part')
    args = parser.parse_args()
    if args.table4 and args.models:
        parser.error('--table4: expected no models beside it')
    if args.only and (args.models or args.table4 or args.all or args.profile):
        parser.error('--only: expected no models, --table4, --all or --profile beside it')
    names = args.models or map(own_config, TABLE4.values() if args.table4 else RIVALS)
    args.models = named_entries('models', names, 'CONFIG[=CHECKPOINT]')
    args.size = tuple(args.size)

    import torch  # takes seconds: --help and mistakes above are answered before it

    args.threads = torch.get_num_threads() if args.threads is None else args.threads
    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if min(args.size) < 64 or min(args.batch, args.repeats, args.rois, args.threads, args.detections) < 1:
        raise ValueError(
            'expected --size of at least 64 64, and --batch, --repeats, --rois, --threads and --detections from 1 on'
        )
    args.forms = args.forms or (list(FORMS) if args.all else [EAGER])
    return args


def keep(args: argparse.Namespace, result: dict) -> None:
    from mmdet_ir.benchmark.tables import render
    from mmdet_ir.engine.environment import collect_environment

    if args.out:
        base = args.out.removesuffix('.json').removesuffix('.md')
        content = {'settings': vars(args), 'environment': collect_environment(), **result}
        write_text(f'{base}.json', json.dumps(content, indent=1) + '\n')
        write_text(f'{base}.md', render(result))


def measure_part(part: str, args: argparse.Namespace) -> dict:
    """What does not depend on the models."""
    from mmdet_ir.benchmark.coco_backends import benchmark_backends, generate_masks
    from mmdet_ir.benchmark.loading import benchmark_loading
    from mmdet_ir.benchmark.mask_losses import time_mask_losses

    if part == 'loading':
        return benchmark_loading(args.size, repeats=args.repeats)
    if part == 'evaluation':
        images = max(1, args.detections // 50)
        return benchmark_backends(
            *generate_masks(args.detections, images, 4, (320, 256), args.seed), args.repeats if args.only else 3
        )
    return {
        f'{classes} classes, {args.rois} RoIs': time_mask_losses(args.rois, classes, 10 * args.repeats, args.device)
        for classes in (4, 80)
    }


def main() -> None:
    args = parse_args()

    from mmdet_ir.benchmark.profile import profile_model
    from mmdet_ir.benchmark.run import Settings, run_benchmark
    from mmdet_ir.benchmark.tables import render
    from mmdet_ir.benchmark.worker import Trial

    import torch
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    torch.set_num_threads(args.threads)
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')  # or each parameter's initialisation is printed
    if args.only:
        result = {args.only: measure_part(args.only, args)}
        keep(args, result)
        print(render(result))
        return
    job = Trial(
        '', '', '', '', size=args.size, batch=args.batch, threads=args.threads, device=args.device, seed=args.seed
    )
    settings = Settings(
        args.models, args.forms, args.exported, args.images, args.count, not args.no_steps, args.repeats, job
    )
    if args.profile:
        result = {'profile': {}}
        for model in args.models:
            for title, rows in profile_model(settings, model).items():
                result['profile'][f'{Path(model).stem}, {title}'] = rows
    else:
        result = run_benchmark(settings, partial(keep, args))
    if args.all and not args.profile:
        for part in PARTS:
            result[part] = measure_part(part, args)
            keep(args, result)
    keep(args, result)
    print(render(result))


if __name__ == '__main__':
    run_tool(main)
