#!/usr/bin/env python
"""Scores an exported model on the test set of a config, with the columns of tools/test.py."""

import argparse

from mmdet_ir.cli import add_cfg_options, add_tiles, run_tool, tool_parser
from mmdet_ir.cli.choices import PRECISIONS
from mmdet_ir.fileio import refuse_overwriting

EXAMPLES = """examples:
  python tools/deploy/test_exported.py model.onnx CONFIG
  python tools/deploy/test_exported.py model.xml CONFIG --out scores.json
  python tools/deploy/test_exported.py model.xml CONFIG --precision bfloat16
  python tools/deploy/test_exported.py model.onnx CONFIG --device cuda     # needs onnxruntime-gpu
  python tools/deploy/test_exported.py model.onnx CONFIG --cfg-options test_dataloader.dataset.indices=20
"""


def parse_args() -> argparse.Namespace:

    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('model', help='file that tools/deploy/export.py wrote, or the name of a model of the package')
    parser.add_argument('config', help='config with the test set; its loader has to fit the model')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 or tensorrt (default: %(default)s)')
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        default='float32',
        help='what an OpenVINO file computes in; bfloat16 is faster where the processor has it (default: %(default)s)',
    )
    parser.add_argument('--out', metavar='FILE.json', help='save the unrounded values')
    add_tiles(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.inference.tiles import parse_tile
    from mmdet_ir.apis.launch import load_config
    from mmdet_ir.deploy.backends import ExportedModel
    from mmdet_ir.deploy.score import score_exported

    refuse_overwriting(args.out, (args.model, args.config))
    exported = ExportedModel(args.model, device=args.device, precision=args.precision)
    tile = parse_tile(args.tile) if args.tile else None
    score_exported(exported, load_config(args.config, args.cfg_options), args.out, tile, args.overlap)


if __name__ == '__main__':
    run_tool(main)
