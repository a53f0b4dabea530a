#!/usr/bin/env python
"""Kill tiny trainings at random moments, let them go on with --resume, and compare every bit of what they learned with
trainings left alone: in a step, in validation, while a checkpoint is written, while log records are written.
"""

import argparse
from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.fileio import write_text

EPILOG = """\
examples:
  python tools/stress/kill_resume.py --out work_dirs/kill_resume               # 20 kills and 4 stops
  python tools/stress/kill_resume.py --kills 4 --stops 1 --loops epochs --seed 1

The table goes to OUT/table.md; the exit code is 1 if anything differs. What makes it work: docs/guide/train.md
"""
PLANS = {('epochs', False): 0.4, ('epochs', True): 0.25, ('iterations', False): 0.35}
LOOPS = {'epochs': ('epochs', False), 'epochs-amp': ('epochs', True), 'iterations': ('iterations', False)}


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('--kills', type=int, default=20, help='by SIGKILL (default: %(default)s)')
    parser.add_argument('--stops', type=int, default=4, help='by SIGTERM, on top (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the moments (default: %(default)s)')
    parser.add_argument('--loops', nargs='+', choices=LOOPS, default=list(LOOPS), help='trainings (default: all)')
    parser.add_argument('--out', type=Path, default='work_dirs/kill_resume', metavar='FOLDER', help='a new folder')
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f'--out: expected a folder that does not exist yet, got {args.out}')
    return args


def main() -> None:
    args = parse_args()

    from mmdet_ir.stress.kill_resume import kill_and_resume, table

    plans = {LOOPS[name]: PLANS[LOOPS[name]] for name in args.loops}
    campaign = kill_and_resume(
        args.out, args.kills, args.stops, args.seed, lambda line: print(line, flush=True), plans
    )
    text = table(campaign)
    write_text(args.out / 'table.md', text)
    print(text)
    raise SystemExit(not campaign.passed)


if __name__ == '__main__':
    run_tool(main)
