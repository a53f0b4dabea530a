#!/usr/bin/env python
"""Makes an INT8 model of an exported ONNX model, calibrated on images of a config's training set."""

import argparse

from mmdet_ir.cli import add_cfg_options, run_tool, tool_parser
from mmdet_ir.cli.choices import KEPT

EXAMPLES = """examples:
  python tools/deploy/export.py CONFIG CHECKPOINT --format onnx --out model.onnx
  python tools/deploy/quantize.py model.onnx CONFIG --out model_int8.onnx
  python tools/deploy/test_exported.py model_int8.onnx CONFIG     # what it costs

  # the same for OpenVINO
  python tools/deploy/quantize.py model.onnx CONFIG --out model_int8.xml

  # keep more layers in float32, by parts of their names
  python tools/deploy/quantize.py model.onnx CONFIG --out model_int8.onnx --keep rpn fc_ conv_logits

What is quantised, and what it was measured to cost: docs/guide/export.md.
"""


def parse_args() -> argparse.Namespace:

    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('model', help='ONNX file that tools/deploy/export.py wrote')
    parser.add_argument('config', help='config with the training set; its loader has to fit the model')
    parser.add_argument('--out', required=True, metavar='FILE', help='INT8 model to write, .onnx or .xml')
    parser.add_argument('--number', type=int, default=100, help='calibration images, at most (default: 100)')
    parser.add_argument(
        '--keep',
        nargs='*',
        default=KEPT,
        metavar='NAME',
        help=f'layers that stay in float32 (default: {" ".join(KEPT)})',
    )
    parser.add_argument(
        '--reduce-range',
        action='store_true',
        help='weights of 7 bits, for x86 processors without VNNI, where sums of 8-bit products saturate',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.launch import load_config
    from mmdet_ir.deploy.quantize import quantize_model

    cfg = load_config(args.config, args.cfg_options)
    meta = quantize_model(
        args.model, args.out, cfg, number=args.number, keep=args.keep, reduce_range=args.reduce_range
    )
    done = meta['quantization']
    print(f'written: {args.out} ({done["layers"]} layers in int8, from {done["calibration_images"]} images)')


if __name__ == '__main__':
    run_tool(main)
