#!/usr/bin/env python
"""Times a training step with each way in which PyTorch's threads can wait for each other, on this machine as it is and
beside busy neighbours. A process for each way; the processes take turns, so that whatever else the machine does meets
all alike.
"""

import argparse
import json
from functools import partial

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.cli.choices import WAYS_TO_WAIT
from mmdet_ir.fileio import write_text
from mmdet_ir.model_zoo import own_config

DEMO = 'configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic.py'
EPILOG = f"""examples:
  python tools/analysis/benchmark_waiting.py --out work_dirs/waiting.json
  python tools/analysis/benchmark_waiting.py --neighbours 0 1 --settings spinning passive --repeats 3

Ways: {', '.join(WAYS_TO_WAIT)}. "spinning" is what PyTorch does by itself, "passive" what this package sets.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('--config', default=DEMO, help='model to train (default: %(default)s)')
    parser.add_argument('--size', nargs=2, type=int, default=(320, 256), metavar=('W', 'H'), help='of the images')
    parser.add_argument('--batch', type=int, default=8, help='images of a step (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=2, help='of each process but "one thread" (default: 2)')
    parser.add_argument('--repeats', type=int, default=5, help='timed rounds (default: %(default)s)')
    parser.add_argument(
        '--neighbours',
        nargs='+',
        type=int,
        default=[0, 1, 2, 3],
        metavar='N',
        help='numbers of processes beside it that compute without a pause (default: 0 1 2 3)',
    )
    parser.add_argument(
        '--settings', nargs='+', choices=WAYS_TO_WAIT, default=list(WAYS_TO_WAIT), metavar='WAY', help='see below'
    )
    parser.add_argument('--out', metavar='FILE.json', help='also write the rows, after each number of neighbours')
    args = parser.parse_args()
    if min(args.size) < 64 or min(args.batch, args.threads, args.repeats) < 1 or min(args.neighbours) < 0:
        parser.error('expected --size of at least 64 64, and --batch, --threads and --repeats of at least 1')
    return args


def keep(out: str | None, rows: list[dict]) -> None:
    if out is not None:
        write_text(out, json.dumps(rows, indent=1) + '\n')


def main() -> None:
    args = parse_args()

    from mmdet_ir.benchmark.waiting import compare_waiting, waiting_table  # (takes seconds)
    from mmdet_ir.benchmark.worker import Trial

    job = Trial(
        'step', own_config(args.config), 'eager', '', size=tuple(args.size), batch=args.batch, threads=args.threads
    )
    rows = compare_waiting(job, args.settings, args.neighbours, args.repeats, partial(keep, args.out))
    print(waiting_table(rows))


if __name__ == '__main__':
    run_tool(main)
