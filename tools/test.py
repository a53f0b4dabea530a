#!/usr/bin/env python
"""Tests a checkpoint: prints the metrics, and saves predictions and pictures on request."""

import argparse

from mmdet_ir.cli import add_cfg_options, add_launcher, add_model, run_tool, tool_parser

EXAMPLES = r"""examples:
  python tools/test.py configs/ir/mask_rcnn.py work_dirs/mask_rcnn/epoch_12.pth
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --out predictions.pkl --show-dir pictures
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --tta --out predictions.pkl
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --tta \
      --cfg-options tta_views.flips=[horizontal,vertical] tta_views.scales=[1.0,1.5]
  tools/dist_test.sh configs/ir/mask_rcnn.py epoch_12.pth 2       # two GPUs, or two CPU processes
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument('--work-dir', help='folder for logs and metrics (default: work_dirs/NAME_OF_CONFIG)')
    parser.add_argument('--out', metavar='FILE.pkl', help='save all predictions, masks as RLE')
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument('--show-dir', help="save drawn predictions in this folder of the run's folder in the work dir")
    parser.add_argument('--wait-time', type=float, default=2.0, help='seconds to show each picture (default: 2)')
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: merges what is found in the image and its mirror image, or in the config's "
        'tta_views or tta_pipeline; twice the time; see docs/guide/evaluate.md',
    )
    add_cfg_options(parser, 'test_dataloader.batch_size=4')
    add_launcher(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.launch import test

    test(**vars(args))


if __name__ == '__main__':
    run_tool(main)
