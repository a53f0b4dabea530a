#!/usr/bin/env python
"""Measures one range over a config's training set and prints the tone mapping that uses it for every image."""

import argparse

from mmdet_ir.cli import add_cfg_options, run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, 'example: python tools/data/measure_window.py configs/ir/mask_rcnn_ir16.py')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--percentiles', type=float, nargs=2, default=(0.5, 99.7), metavar=('LOW', 'HIGH'), help='default: 0.5 99.7'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.launch import load_config
    from mmdet_ir.datasets.images.tone_statistics import measure_window

    from mmengine.registry import init_default_scope

    config = load_config(args.config, args.cfg_options)
    init_default_scope(config.get('default_scope', 'mmdet'))
    low, high = measure_window(config.train_dataloader.dataset, *args.percentiles)
    print(f"tone_mapping = dict(type='ToneMapping', method='window', low={low:.6g}, high={high:.6g})")


if __name__ == '__main__':
    run_tool(main)
