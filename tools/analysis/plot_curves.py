#!/usr/bin/env python
"""Draws losses, learning rates and metrics of training runs over time: resumed sessions joined, seeds as a band."""

import argparse

from mmdet_ir.cli import run_tool, tool_parser

EXAMPLES = """examples:
  python tools/analysis/plot_curves.py work_dirs/mask_rcnn work_dirs/solov2 --keys loss coco/segm_mAP --out curves.png
  python tools/analysis/plot_curves.py work_dirs/plain_0=plain work_dirs/plain_1=plain work_dirs/ours_0=ours \\
      work_dirs/ours_1=ours --keys loss loss_mask coco/segm_mAP --smooth 10 --out curves.png

Runs of one title are seeds: their mean is drawn, with a band from the lowest to the highest. Of a folder with several
runs the last one counts. A key that no run has is answered with those it could have been.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR[=TITLE]', help='folders of training runs')
    parser.add_argument('--keys', nargs='+', default=['loss', 'coco/segm_mAP'], metavar='KEY', help='what to draw')
    parser.add_argument('--out', required=True, help='picture to write; its ending decides the format')
    parser.add_argument(
        '--smooth',
        type=int,
        default=5,
        metavar='N',
        help='average training values over N logged ones (default: 5); metrics are never averaged',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.training_curves import draw_training_curves

    titles = draw_training_curves(args.work_dirs, args.keys, args.out, args.smooth)
    print(f'{args.out}: ' + ', '.join(f'{title} ({runs} runs)' for title, runs in titles.items()))


if __name__ == '__main__':
    run_tool(main)
