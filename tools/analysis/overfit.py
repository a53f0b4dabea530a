#!/usr/bin/env python
"""Can this model learn at all? Trains it on a few images of its training set until it knows them by heart.

Exit code 1 says that it could not: look at the losses, the assignment of targets and the post-processing.
"""

import argparse
import sys
import time
from pathlib import Path

from mmdet_ir.cli import add_cfg_options, run_tool, tool_parser

EXAMPLES = """examples:
  python tools/analysis/overfit.py configs/quickstart/mask_rcnn_real.py
  python tools/analysis/overfit.py configs/ir/mask_rcnn.py --from-scratch --lr 3e-4
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='config file')
    parser.add_argument('--images', type=int, default=8, help='images to learn (default: %(default)s)')
    parser.add_argument('--steps', type=int, default=400, help='longest training (default: %(default)s)')
    parser.add_argument('--eval-every', type=int, default=50, metavar='STEPS', help='(default: %(default)s)')
    parser.add_argument('--batch', type=int, default=4, help='images of a step (default: %(default)s)')
    parser.add_argument('--lr', type=float, default=1e-3, help='learning rate of AdamW (default: %(default)s)')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(320, 256), metavar=('W', 'H'), help='crops of larger images'
    )
    parser.add_argument('--min-area', type=float, default=100, help='smallest target in square pixels (default: 100)')
    parser.add_argument('--max-targets', type=int, default=6, help='most targets of an image (default: 6)')
    parser.add_argument(
        '--mask-target', '--target', type=float, default=0.8, help='mask mAP50 to reach (default: %(default)s)'
    )
    parser.add_argument('--box-target', type=float, help='box mAP50 to reach as well')
    parser.add_argument('--from-scratch', action='store_true', help='no pretrained weights, nothing frozen')
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on a GPU, bfloat16 on the CPU')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--work-dir', help='folder of the outputs (default: work_dirs/overfit/NAME_OF_CONFIG)')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.overfitting.overfit import overfit

    start = time.perf_counter()

    def report(evaluation: dict) -> None:
        step, seconds = evaluation['step'], evaluation['seconds']
        values = [
            f'{kind} mAP {evaluation[f"{key}_mAP"]:.3f} mAP50 {evaluation[f"{key}_mAP50"]:.3f}'
            for kind, key in (('mask', 'segm'), ('box', 'bbox'))
            if f'{key}_mAP' in evaluation
        ]
        left = seconds / step * (args.steps - step)
        print(f'step {step:5}/{args.steps}  {"  ".join(values)}  {seconds:.0f} s, up to {left:.0f} s left', flush=True)

    options = {k: v for k, v in vars(args).items() if k not in ('mask_target', 'box_target', 'size')}
    targets = {'segm_mAP50': args.mask_target, 'bbox_mAP50': args.box_target}
    targets = {name: value for name, value in targets.items() if value is not None}
    curve = overfit(**options, size=tuple(args.size), targets=targets, report=report)
    wanted = ', '.join(f'{name} >= {value:g}' for name, value in targets.items())
    out = args.work_dir or Path('work_dirs', 'overfit', Path(args.config).stem)
    verdict = 'learned' if curve.passed() else 'NOT learned'
    print(f'{verdict}: {wanted}, after {len(curve.losses["loss"])} steps, {time.perf_counter() - start:.0f} s; {out}')
    if not curve.passed():
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
