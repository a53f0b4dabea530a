#!/usr/bin/env python
"""Parameters and multiply-adds of models, beside the parameters that the paper's Table 4 states.

The paper counted 80 classes, and not the parameters of the backbone's batch normalisation; "as trained" is the model
of the config with all of its parameters. Multiply-adds are those of convolutions and matrix products for one image
with 100 detections (two-stage: 1000 proposals); twice as many floating-point operations.
"""

import argparse
import json

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.cli.choices import TABLE4
from mmdet_ir.fileio import refuse_overwriting, write_text
from mmdet_ir.model_zoo import own_config


def parse_args() -> argparse.Namespace:

    parser = tool_parser(
        __doc__, 'example: python tools/analysis/model_complexity.py --markdown --out work_dirs/complexity.json'
    )
    parser.add_argument('configs', nargs='*', default=list(TABLE4.values()), help='default: the models of Table 4')
    parser.add_argument('--size', nargs=2, type=int, default=(640, 512), metavar=('W', 'H'))
    parser.add_argument('--markdown', action='store_true', help='print a Markdown table')
    parser.add_argument('--out', help='write exact numbers as JSON too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.model_complexity import complexity_row, render_complexity

    import torch
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    refuse_overwriting(args.out, args.configs)
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')  # or each parameter's initialisation is printed
    rows = [complexity_row(own_config(config), tuple(args.size)) for config in args.configs]
    print(render_complexity(rows, args.markdown))
    if args.out:
        settings = {'size': list(args.size), 'torch': torch.__version__}
        write_text(args.out, json.dumps({'settings': settings, 'rows': rows}, indent=1))


if __name__ == '__main__':
    run_tool(main)
