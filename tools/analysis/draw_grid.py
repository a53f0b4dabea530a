#!/usr/bin/env python
"""Draws ground truth and the predictions of one or more models side by side, and marks what they missed or mistook."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmdet_ir.cli import Skipped, add_cfg_options, add_device, named_entries, run_tool, tool_parser

if TYPE_CHECKING:
    from mmdet_ir.analysis.errors.comparison import Comparison

EXAMPLES = """examples:
  python tools/analysis/draw_grid.py configs/ir/mask_rcnn.py work_dirs/mask_rcnn/epoch_100.pth --out grid.png --num 6
  python tools/analysis/draw_grid.py \\
      configs/ir/mask_rcnn.py work_dirs/mask_rcnn/epoch_100.pth \\
      configs/baselines/solov2_r50_fpn.py work_dirs/solov2_r50_fpn/epoch_100.pth \\
      --titles 'Mask R-CNN' SOLOv2 --mark-errors --choose errors --num 5 --out fig10.png

From detections that a test run saved (--cfg-options test_evaluator.outfile_prefix=work_dirs/mask_rcnn):
  python tools/analysis/draw_grid.py --ann data/real/annotations/val.json --images data/real/images \\
      --detections 'Mask R-CNN=work_dirs/mask_rcnn.segm.json' SOLOv2=work_dirs/solov2.segm.json \\
      --mark-errors --choose errors --zoom --num 5 --out fig10.png
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('models', nargs='*', metavar='CONFIG CHECKPOINT', help='models, drawn on the same images')
    parser.add_argument('--titles', nargs='+', help='of all models (default: the names of their configs)')
    parser.add_argument('--out', required=True, help='picture to write; its ending decides the format')
    parser.add_argument('--panel-width', type=int, help='of each picture in pixels (default: 640; marked errors: 400)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score drawn (default: 0.3)')

    images = parser.add_argument_group('which images')
    images.add_argument('--num', type=int, default=6, help='how many (default: 6)')
    images.add_argument(
        '--choose',
        choices=('classes', 'errors'),
        default='classes',
        help='that between them show all classes (default), or in which the models differ most, which runs all images',
    )
    images.add_argument('--indices', type=int, nargs='+', help='these positions in the test set')
    images.add_argument('--ids', nargs='+', metavar='ID', help='these image ids of the annotation file')

    errors = parser.add_argument_group('errors, in red: a row for each model, a column for each image')
    errors.add_argument('--mark-errors', action='store_true', help='box missed targets (dashed) and wrong detections')
    errors.add_argument('--iou-thr', type=float, default=0.5, help='mask IoU that finds a target (default: 0.5)')
    errors.add_argument('--zoom', action='store_true', help='cut each image to the part in which models err')

    saved = parser.add_argument_group('instead of models')
    saved.add_argument('--detections', nargs='+', metavar='NAME=FILE.segm.json', help='saved detections of each model')
    saved.add_argument('--ann', help='their COCO annotation file')
    saved.add_argument('--images', help='folder of the images')
    saved.add_argument('--image-key', default='file_name', help='field that names the file (default: file_name)')

    add_device(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def open_comparison(args: argparse.Namespace) -> Comparison:
    from mmdet_ir.analysis.errors.comparison import compare_files, compare_models

    if args.detections:
        if args.models or args.titles:
            raise ValueError('expected either models or --detections (which carry their titles), got both')
        if not (args.ann and args.images):
            raise ValueError('--detections: expected --ann and --images with it, got ' + (args.ann or 'no --ann'))
        detections = named_entries('--detections', args.detections)
        return compare_files(args.ann, args.images, detections, args.score_thr, args.image_key)
    pairs = list(zip(args.models[::2], args.models[1::2], strict=True))
    return compare_models(pairs, args.titles, args.score_thr, args.device, args.cfg_options)


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.errors.grid import draw_comparison

    if not args.models and not args.detections:
        raise ValueError('expected CONFIG CHECKPOINT of at least one model, or --detections, got neither')
    if len(args.models) % 2:
        raise ValueError(f'expected pairs of config and checkpoint, got {args.models[-1]!r} without a checkpoint')
    skipped = Skipped()
    ids = draw_comparison(
        open_comparison(args),
        args.out,
        num=args.num,
        choose=args.choose,
        indices=args.indices,
        ids=args.ids,
        mark_errors=args.mark_errors,
        zoom=args.zoom,
        panel_width=args.panel_width,
        score_thr=args.score_thr,
        iou_thr=args.iou_thr,
        skipped=skipped,
    )
    print(f'{args.out}: images with the ids {" ".join(map(str, ids))}')
    skipped.finish()


if __name__ == '__main__':
    run_tool(main)
