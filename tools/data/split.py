#!/usr/bin/env python
"""Split a COCO file reproducibly into training and validation part, stratified by class."""

import argparse
from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser

EPILOG = """\
examples:
  python tools/data/split.py data/mine/all.json data/mine/annotations
  python tools/data/split.py data/mine/all.json data/mine/annotations --group-by clip --seed 1
Frames of one recording resemble each other: whenever the images have a field such as clip or date, group by it, or
validation will measure memory. OUT_DIR/train.json and OUT_DIR/val.json are replaced if they exist.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('coco_json', metavar='COCO_JSON', type=Path, help='COCO file to split')
    parser.add_argument('out_dir', metavar='OUT_DIR', type=Path, help='folder for train.json and val.json')
    parser.add_argument('--ratio', type=float, default=0.8, help='share of the training part (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='same seed, same split (default: %(default)s)')
    parser.add_argument('--group-by', metavar='FIELD', help='image field whose values never straddle the parts')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.datasets.coco_files import count_instances, read_coco, write_coco
    from mmdet_ir.datasets.coco_split import split_coco

    parts = split_coco(read_coco(args.coco_json), args.ratio, args.seed, args.group_by)
    for name, part in zip(('train', 'val'), parts, strict=True):
        write_coco(part, args.out_dir / f'{name}.json')
        print(f'{name}: {len(part["images"])} images, {count_instances(part)}')


if __name__ == '__main__':
    run_tool(main)
