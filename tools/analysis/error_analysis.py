#!/usr/bin/env python
"""Tells where models fail: precision-recall curves and the kinds of errors, by class and size, of saved detections."""

import argparse

from mmdet_ir.cli import named_entries, run_tool, tool_parser

EXAMPLES = """Detections are saved by testing with an outfile_prefix:
  python tools/test.py CONFIG CHECKPOINT --cfg-options test_evaluator.outfile_prefix=work_dirs/mask_rcnn
examples:
  python tools/analysis/error_analysis.py data/synthetic/annotations/val.json \\
      'Mask R-CNN=work_dirs/mask_rcnn.segm.json' SOLOv2=work_dirs/solov2.segm.json --out work_dirs/errors
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('ann', help='COCO annotation file of the images that the models were tested on')
    parser.add_argument('detections', nargs='+', metavar='NAME=FILE.segm.json', help='saved detections of each model')
    parser.add_argument(
        '--out', required=True, help='folder for the pictures, the tables (Markdown) and the JSON file'
    )
    parser.add_argument('--iou-thr', type=float, default=0.5, help='mask IoU that finds a target (default: 0.5)')
    parser.add_argument(
        '--background-iou', type=float, default=0.1, help='mask IoU below is background (default: 0.1)'
    )
    parser.add_argument(
        '--max-dets', type=int, default=100, help='detections of a class and image that count (default: 100)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.errors.report import write_error_report

    detections = named_entries('detections', args.detections)
    thresholds = args.iou_thr, args.background_iou
    for path in write_error_report(args.ann, detections, args.out, *thresholds, args.max_dets):
        print(path)


if __name__ == '__main__':
    run_tool(main)
