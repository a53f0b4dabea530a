#!/usr/bin/env python
"""Measures how long each library takes to score masks and boxes, in turns, and whether the numbers are equal.

The measurement is that of `benchmark.py --only evaluation`; this tool has further options and its own output file.
"""

import argparse
import json

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.fileio import write_text

EPILOG = """\
examples:
  taskset -c 0 python tools/analysis/benchmark_evaluation.py --out work_dirs/benchmark_evaluation.json
  python tools/analysis/benchmark_evaluation.py --detections 2000 --images 20 --repeats 3
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('--detections', type=int, default=14_000, help='in all (default: %(default)s)')
    parser.add_argument('--images', type=int, default=280, help='default: %(default)s')
    parser.add_argument('--classes', type=int, default=4, help='default: %(default)s')
    parser.add_argument('--size', type=int, nargs=2, default=(320, 256), metavar=('WIDTH', 'HEIGHT'))
    parser.add_argument('--repeats', type=int, default=5, help='rounds, of which the median counts (default: 5)')
    parser.add_argument('--seed', type=int, default=0, help='of the generated masks (default: 0)')
    parser.add_argument('--out', metavar='FILE.json', help='save the numbers')
    args = parser.parse_args()
    for name in ('detections', 'images', 'classes', 'repeats'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name}: expected a number from 1 on, got {getattr(args, name)}')
    return args


def main() -> None:
    args = parse_args()

    from mmdet_ir.benchmark.coco_backends import as_table, benchmark_backends, generate_masks
    from mmdet_ir.engine.environment import collect_environment

    coco, detections = generate_masks(args.detections, args.images, args.classes, tuple(args.size), args.seed)
    result = benchmark_backends(coco, detections, args.repeats)
    print(as_table(result))
    if args.out:
        settings = {name: value for name, value in vars(args).items() if name != 'out'}
        content = {
            'settings': {**settings, 'targets': len(coco['annotations'])},
            'results': result,
            'environment': collect_environment(),
        }
        write_text(args.out, json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    run_tool(main)
