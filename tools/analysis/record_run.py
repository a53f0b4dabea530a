#!/usr/bin/env python
"""Records a finished run: config, commit, seed, data, hardware, wall time and unrounded metrics, as JSON."""

import argparse

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.fileio import refuse_overwriting


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __doc__,
        'example: python tools/analysis/record_run.py configs/ir/mask_rcnn.py work_dirs/mask_rcnn '
        'work_dirs/mask_rcnn/20250101_120000/metrics_test.json --title "Mask R-CNN" --data "HIT-UAV + drones" '
        '--out results/mask_rcnn.json',
    )
    parser.add_argument('config', help='config file that the run was started with, relative to the repository')
    parser.add_argument('work_dir', help="the run's folder, with logs and checkpoints")
    parser.add_argument('metrics_json', help='metrics_test.json, as tools/test.py leaves it beside its log')
    parser.add_argument('--title', required=True, help='name of the model in tables')
    parser.add_argument('--data', required=True, help='name of the data in tables')
    parser.add_argument('--out', required=True, help='record to write, results/NAME.json')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.experiments import make_record, save_record

    refuse_overwriting(args.out, (args.config, args.metrics_json))
    record = make_record(args.config, args.work_dir, args.metrics_json, args.title, args.data)
    save_record(record, args.out)
    print(f'{args.out}: written')


if __name__ == '__main__':
    run_tool(main)
