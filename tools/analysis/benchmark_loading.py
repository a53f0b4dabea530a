#!/usr/bin/env python
"""Measures the throughput of loading with each tone mapping, against mmcv's plain loading of 8-bit files.

The measurement is that of `benchmark.py --only loading`; this tool has its own options and output file.
"""

import argparse
import json

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.fileio import write_text


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, 'example: OMP_NUM_THREADS=1 python tools/analysis/benchmark_loading.py')
    parser.add_argument('--size', type=int, nargs=2, default=(640, 512), metavar=('WIDTH', 'HEIGHT'))
    parser.add_argument('--images', type=int, default=16, help='synthetic scenes to read (default: 16)')
    parser.add_argument('--repeats', type=int, default=7, help='rounds, of which the median counts (default: 7)')
    parser.add_argument('--out', metavar='FILE.json', help='save the numbers')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.benchmark.loading import as_table, benchmark_loading

    rows = benchmark_loading(tuple(args.size), args.images, args.repeats)
    print(as_table(rows))
    if args.out:
        write_text(args.out, json.dumps({'size': list(args.size), 'images': args.images, 'rows': rows}, indent=2))


if __name__ == '__main__':
    run_tool(main)
