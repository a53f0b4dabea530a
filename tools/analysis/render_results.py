#!/usr/bin/env python
"""Puts the table of all recorded runs between <!-- results:begin --> and <!-- results:end --> of Markdown files."""

import argparse
import sys

from mmdet_ir.apis.errors import run_tool
from mmdet_ir.experiments import update_tables


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/analysis/render_results.py results/ --readme README.md --check',
    )
    parser.add_argument('results', help='folder of records')
    parser.add_argument('--readme', nargs='+', required=True, metavar='FILE', help='Markdown files with the two marks')
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 if a table is out of date')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    stale = update_tables(args.results, args.readme, check=args.check)
    for path in stale:
        print(f'{path}: ' + ('out of date; run this tool without --check' if args.check else 'updated'))
    if args.check and stale:
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
