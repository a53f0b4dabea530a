#!/usr/bin/env python
"""Merge data sets (annotations/{train,val}.json, dev.json and test.json if there, images/) into one."""

import argparse

from mmdet_ir.cli import run_tool, tool_parser

EPILOG = """\
example:
  python tools/data/merge.py data/real4 data/hit_uav data/drone_ir
The classes are human, car, bicycle and uav if the sources have no others, else all sources must have the same classes.
Images are hard-linked where the file system allows it, so the merged set takes next to no space.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('out', metavar='OUT', help='folder to write')
    parser.add_argument('sources', metavar='SRC', nargs='+', help='folders to merge')
    parser.add_argument('--overwrite', action='store_true', help='replace the data set that is in OUT')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.datasets.coco_files import count_instances
    from mmdet_ir.datasets.coco_merge import merge_data_sets

    merged = merge_data_sets(args.out, args.sources, args.overwrite)
    for split, coco in merged.items():
        print(f'{split}: {len(coco["images"])} images, {count_instances(coco)}')


if __name__ == '__main__':
    run_tool(main)
