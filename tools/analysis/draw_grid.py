#!/usr/bin/env python
"""Draws input, ground truth and the predictions of one or more models side by side for images of a test set."""

import argparse

from mmdet_ir.apis.errors import run_tool
from mmdet_ir.visualization import draw_predictions

from mmengine.config import DictAction

EXAMPLES = """examples:
  python tools/analysis/draw_grid.py configs/ir/mask_rcnn.py work_dirs/mask_rcnn/epoch_100.pth --out grid.png --num 6
  python tools/analysis/draw_grid.py \\
      configs/ir/mask_rcnn.py work_dirs/mask_rcnn/epoch_100.pth \\
      configs/baselines/solov2_r50_fpn.py work_dirs/solov2_r50_fpn/epoch_100.pth \\
      --titles 'Mask R-CNN' SOLOv2 --panel-width 400 --out grid.png
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='trained weights')
    parser.add_argument(
        'others', nargs='*', metavar='CONFIG CHECKPOINT', help='further models, drawn on the same images'
    )
    parser.add_argument('--titles', nargs='+', help='of all models (default: the names of their configs)')
    parser.add_argument('--panel-width', type=int, default=640, help='width of each picture in pixels (default: 640)')
    parser.add_argument('--out', required=True, help='picture to write; its ending decides the format')
    parser.add_argument('--num', type=int, default=6, help='how many images (default: 6), chosen to show all classes')
    parser.add_argument('--indices', type=int, nargs='+', help='draw these images of the test set instead')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score drawn (default: 0.3)')
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the GPU if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings key=value over the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if len(args.others) % 2:
        raise ValueError(f'expected pairs of config and checkpoint, got {args.others[-1]!r} without a checkpoint')
    indices = draw_predictions(
        args.config,
        args.checkpoint,
        args.out,
        num=args.num,
        score_thr=args.score_thr,
        indices=args.indices,
        device=args.device,
        cfg_options=args.cfg_options,
        others=list(zip(args.others[::2], args.others[1::2], strict=True)),
        titles=args.titles,
        panel_width=args.panel_width,
    )
    print(f'{args.out}: test images {" ".join(map(str, indices))}')


if __name__ == '__main__':
    run_tool(main)
