#!/usr/bin/env python
"""Tests a checkpoint: prints the metrics, and saves predictions and pictures on request."""

import argparse
import os

import mmdet_ir  # noqa: F401  (first: mmdet cannot be imported without it)
from mmdet_ir.apis.launch import test
from mmdet_ir.cli.errors import run_tool

from mmengine.config import DictAction

EXAMPLES = r"""examples:
  python tools/test.py configs/ir/mask_rcnn.py work_dirs/mask_rcnn/epoch_12.pth
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --out predictions.pkl --show-dir pictures
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --tta --out predictions.pkl
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --tta \
      --cfg-options tta_views.flips=[horizontal,vertical] tta_views.scales=[1.0,1.5]
  tools/dist_test.sh configs/ir/mask_rcnn.py epoch_12.pth 2       # two GPUs, or two CPU processes
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
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
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, as in test_dataloader.batch_size=4',
    )
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    del args.local_rank
    return args


def main() -> None:
    test(**vars(parse_args()))


if __name__ == '__main__':
    run_tool(main)
