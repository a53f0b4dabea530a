#!/usr/bin/env python
"""Writes a page with images of a data set as the model sees them, and statistics of all splits: one HTML file."""

import argparse
import sys

from mmdet_ir.cli import Skipped, add_cfg_options, run_tool, tool_parser
from mmdet_ir.cli.choices import SPLITS


def parse_args() -> argparse.Namespace:

    parser = tool_parser(
        __doc__, 'example: python tools/data/browse.py configs/ir/mask_rcnn.py --split val --out page.html'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', required=True, metavar='HTML', help='page to write')
    parser.add_argument('--split', choices=SPLITS, default='train', help='whose images to show (default: %(default)s)')
    parser.add_argument(
        '--count', type=int, default=24, help='how many images, chosen to show all classes (default: %(default)s)'
    )
    parser.add_argument(
        '--contrast-images',
        type=int,
        default=300,
        metavar='N',
        help='images of each split that are read for the contrasts (default: %(default)s)',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.browse.page import browse
    from mmdet_ir.apis.launch import load_config

    config = load_config(args.config, args.cfg_options)
    skipped = Skipped()
    indices = browse(
        config, args.out, args.split, args.count, args.contrast_images, progress=sys.stderr.isatty(), skipped=skipped
    )
    print(f'{args.out}: {args.split} images {" ".join(map(str, indices))}')
    skipped.finish()


if __name__ == '__main__':
    run_tool(main)
