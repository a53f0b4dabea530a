#!/usr/bin/env python
"""Trains a config."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from mmdet_ir.cli import add_cfg_options, add_launcher, run_tool, tool_parser

EXAMPLES = """examples:
  python tools/train.py configs/ir/mask_rcnn_bnsa_focalsiou.py
  python tools/train.py configs/ir/mask_rcnn.py --work-dir work_dirs/try --cfg-options train_dataloader.batch_size=4
  python tools/train.py work_dirs/mine.py --epochs 30 --batch-size 4 --lr 0.001 --tensorboard
  python tools/train.py configs/ir/mask_rcnn.py --resume          # go on after an interruption, or start
  tools/dist_train.sh configs/ir/mask_rcnn.py 2 --amp             # two GPUs, or two CPU processes

SIGTERM, SIGUSR1 and Ctrl-C save a checkpoint after the running iteration and end with code 75: start again with
--resume. A second Ctrl-C ends at once, with code 130.
A run that was killed or stopped at any point, and went on, ends with the weights of one left alone
(docs/guide/train.md).
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/NAME_OF_CONFIG)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint; without a name from the latest one in the work dir, if there is one',
    )
    parser.add_argument(
        '--resume-schedule',
        choices=('checkpoint', 'config'),
        default='checkpoint',
        help='where epochs, schedule or learning rate of the config were changed: go on as the training began '
        '(default), or as if it had begun with the config; differences are told in either case',
    )
    parser.add_argument(
        '--load-from',
        metavar='WEIGHTS',
        help='weights to start from: a file, a URL, the name of a model that comes with the package, or "none"',
    )
    parser.add_argument('--epochs', type=int, metavar='N', help='length of the training; schedules and warm-up follow')
    parser.add_argument(
        '--batch-size', type=int, metavar='N', help='images of a step, in each process; the learning rate stays'
    )
    parser.add_argument('--lr', type=float, metavar='RATE', help='learning rate of the optimiser')
    parser.add_argument(
        '--tensorboard',
        action='store_true',
        help='write curves and settings for TensorBoard (a package of its own)',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on a GPU, bfloat16 on the CPU')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help="scale the learning rate by the config's auto_scale_lr"
    )
    parser.add_argument('--seed', type=int, help='seed of all random numbers (default: the config says, or random)')
    parser.add_argument(
        '--deterministic',
        action='store_true',
        help='prefer deterministic kernels; torch warns of the others',
    )
    add_cfg_options(parser, 'optim_wrapper.optimizer.lr=0.01 or model.neck.num_outs=4')
    add_launcher(parser)
    return parser.parse_args()


def leave() -> NoReturn:
    """Ends a training that was asked to stop and has saved its checkpoint."""
    from mmdet_ir.engine import EX_TEMPFAIL

    note = os.environ.get('MMDET_IR_STOPPED_FILE')  # of tools/dist_train.sh: torchrun ends with 1 whatever it was
    if note and os.environ.get('LOCAL_RANK', '0') == '0':
        Path(note).write_text(str(EX_TEMPFAIL))
    sys.exit(EX_TEMPFAIL)


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.launch import train
    from mmdet_ir.engine import TrainingStopped

    try:
        train(**vars(args))
    except TrainingStopped as stopped:
        sys.stderr.write(f'{stopped}\n')
        leave()
    except KeyboardInterrupt:  # as the shell expects it of a program that Ctrl-C ended: code 130
        sys.stderr.write('Ended by Ctrl-C; --resume goes on from the last checkpoint, if there is one\n')
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == '__main__':
    run_tool(main)
