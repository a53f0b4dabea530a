#!/usr/bin/env python
"""Says what common image readers leave of the counts in a thermal image: type, range, number of different values."""

import argparse

from mmdet_ir.cli import run_tool, tool_parser

EXAMPLES = """examples:
  python tools/data/compare_loaders.py frame.png
  python tools/data/compare_loaders.py data/synthetic/images/val16/000001.png --out loaders.png

Readers whose library is not installed are listed as such. The last line is what the configs of this package show to a
model.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('image', help='PNG or TIFF file with counts in one channel')
    parser.add_argument('--out', metavar='PICTURE', help='draw what the readers that return 8 bits show')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    import mmdet_ir  # noqa: F401  (first: mmcv cannot be imported without it)
    from mmdet_ir.analysis.loaders import compare_loaders, draw_loaders, loaders_table

    readings = compare_loaders(args.image)
    print(loaders_table(readings))
    if args.out:
        draw_loaders(readings, args.out)
        print(f'picture: {args.out}')


if __name__ == '__main__':
    run_tool(main)
