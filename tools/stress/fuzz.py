#!/usr/bin/env python
"""Feeds damaged annotation and image files to data set loading and the validator, in a child with limited memory.

Each has to be loaded, or refused with a ValueError or FileNotFoundError that names the file. Anything else (another
error, a crash, a hang, too much memory) is saved in the output folder, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mmdet_ir.cli import run_tool, tool_parser

if TYPE_CHECKING:
    from mmdet_ir.stress.fuzz import Campaign

EPILOG = """\
examples:
  python tools/stress/fuzz.py --minutes 20 --seed 1
  python tools/stress/fuzz.py --seed 1 --first 4711 --cases 1      # one case again
What is protected and what is not: docs/maintainers/untrusted_files.md
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('--minutes', type=float, default=5, help='time to run (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='same seed, same cases (default: %(default)s)')
    parser.add_argument('--first', type=int, default=0, metavar='N', help='number of the first case (default: 0)')
    parser.add_argument('--cases', type=int, metavar='N', help='stop after so many (default: only by time)')
    parser.add_argument(
        '--memory',
        type=float,
        default=4,
        metavar='GIB',
        help='limit of the child, on top of what it has at its start (default: %(default)s)',
    )
    parser.add_argument('--out', default='work_dirs/fuzz', metavar='DIR', help='for findings (default: %(default)s)')
    return parser.parse_args()


def show(campaign: Campaign) -> None:
    print(f'-- {campaign}', flush=True)


def main() -> None:
    args = parse_args()

    from mmdet_ir.stress.fuzz import fuzz

    campaign = fuzz(
        args.out,
        args.seed,
        60 * args.minutes,
        first=args.first,
        cases=args.cases,
        memory=int(args.memory * (1 << 30)),
        progress=show,
    )
    print(campaign)
    sys.exit(1 if campaign.findings else 0)


if __name__ == '__main__':
    run_tool(main)
