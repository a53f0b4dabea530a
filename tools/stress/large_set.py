#!/usr/bin/env python
"""Writes a large COCO data set, and measures what it costs in time and memory, beside plain MMDetection (on Linux)."""

import argparse
import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.fileio import write_text

EPILOG = """\
Each case runs in a process of its own. CASE may be a pattern; the cases:
  {cases}

examples:
  python tools/stress/large_set.py make work_dirs/large --images 100000 --per-image 10
  python tools/stress/large_set.py measure work_dirs/large 'start*' 'workers*' --out work_dirs/large.json
"""


def parse_args() -> argparse.Namespace:
    from mmdet_ir.stress.large_set_cost import CASES  # here: an installation that is broken is told in one line

    parser = tool_parser(__doc__, EPILOG.format(cases='\n  '.join(CASES)))
    actions = parser.add_subparsers(dest='action', required=True)
    make = actions.add_parser('make', help='write the data set')
    make.add_argument('out', metavar='OUT', type=Path, help='folder to write')
    make.add_argument('--images', type=int, default=100_000, help='default: %(default)s')
    make.add_argument('--per-image', type=int, default=10, help='targets of each image (default: %(default)s)')
    make.add_argument('--overwrite', action='store_true', help='replace the data set that is in OUT')
    measure = actions.add_parser('measure', help='measure cases')
    measure.add_argument('folder', metavar='FOLDER', type=Path, help='what "make" wrote')
    measure.add_argument('cases', metavar='CASE', nargs='+', help='name or pattern; --help lists them')
    measure.add_argument('--out', metavar='JSON', type=Path, help='add the numbers to this file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.engine.environment import collect_environment
    from mmdet_ir.stress.large_set import write_large_set
    from mmdet_ir.stress.large_set_cost import CASES

    if args.action == 'make':
        write_large_set(args.out, args.images, args.per_image, overwrite=args.overwrite)
        return
    if args.cases[0].startswith('='):  # the process of one case
        print(json.dumps(CASES[args.cases[0][1:]](args.folder)))
        return
    chosen = [name for name in CASES if any(fnmatch(name, pattern) for pattern in args.cases)]
    if not chosen:
        raise ValueError(f'expected cases among {list(CASES)}, got {args.cases}')
    if not (args.folder / 'annotations' / 'train.json').is_file():
        raise FileNotFoundError(f'{args.folder}: expected what "make" writes, got no annotations/train.json')
    known = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for name in chosen:
        command = [sys.executable, __file__, 'measure', str(args.folder), f'={name}']
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        row = json.loads(lines.splitlines()[-1])
        print(f'{name}: ' + ', '.join(f'{key} {value:.5g}' for key, value in row.items()), flush=True)
        if args.out:
            known[name] = {**row, 'environment': collect_environment()}
            write_text(args.out, json.dumps(known, indent=1) + '\n')


if __name__ == '__main__':
    run_tool(main)
