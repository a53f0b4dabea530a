#!/usr/bin/env python
"""Exports a trained model, from the image as stored to detections, as one file without this package."""

import argparse
import sys
from pathlib import Path

from mmdet_ir.cli import add_cfg_options, add_model, run_tool, tool_parser
from mmdet_ir.cli.choices import MASKS, SUFFIXES
from mmdet_ir.fileio import refuse_overwriting

from terminaltables import AsciiTable

EXAMPLES = """examples:
  # any number of images of any size; compared with PyTorch on 50 images
  python tools/deploy/export.py CONFIG CHECKPOINT --format onnx --out model.onnx --verify data/synthetic/images/val

  # one 640x512 image at a time, masks of the whole image
  python tools/deploy/export.py CONFIG CHECKPOINT --format openvino --out model.xml --size 640 512 --batch 1 \\
      --masks pasted

  # fewer detections: settings of the config that end up in the model
  python tools/deploy/export.py CONFIG CHECKPOINT --format torchscript --out model.pt \\
      --cfg-options model.test_cfg.rcnn.score_thr=0.3

Inputs, outputs, metadata, and what cannot be exported: docs/guide/export.md. Exit code 1: the export differs.
"""


def parse_args() -> argparse.Namespace:

    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument('--format', choices=sorted(SUFFIXES), required=True, help='what to write')
    parser.add_argument('--out', metavar='FILE', required=True, help='ends in .onnx, .xml, .pt or .pt2, by format')
    parser.add_argument(
        '--size',
        nargs='+',
        default=['dynamic'],
        metavar=('W', 'H'),
        help='width and height of the images as stored, or dynamic (default)',
    )
    parser.add_argument('--batch', default='dynamic', metavar='N', help='images at a time, or dynamic (default)')
    parser.add_argument(
        '--masks',
        choices=MASKS,
        help='raw: probabilities on a grid over each box; pasted: bool masks of the image (default: raw for models '
        'that predict such grids, else pasted)',
    )
    parser.add_argument('--verify', nargs='+', metavar='IMAGE', help='images, folders or globs: compare with PyTorch')
    parser.add_argument(
        '--device',
        default='cpu',
        help='where --verify runs the exported model: cpu, cuda, cuda:1 or tensorrt (default: %(default)s)',
    )
    parser.add_argument(
        '--number',
        type=int,
        default=50,
        help='images to compare, at most, taken evenly among them (default: %(default)s)',
    )
    add_cfg_options(parser, 'model.test_cfg.rcnn.score_thr=0.3')
    args = parser.parse_args()
    dynamic = args.size == ['dynamic']
    if args.number < 1:
        parser.error(f'--number: expected at least 1, got {args.number}')
    if not dynamic and (len(args.size) != 2 or not all(side.isdigit() for side in args.size)):
        parser.error(f'--size: expected two whole numbers or dynamic, got {" ".join(args.size)}')
    if args.batch != 'dynamic' and not args.batch.isdigit():
        parser.error(f'--batch: expected a whole number or dynamic, got {args.batch}')
    args.size = None if dynamic else tuple(int(side) for side in args.size)
    args.batch = None if args.batch == 'dynamic' else int(args.batch)
    return args


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.inference.inferencer import IRInferencer
    from mmdet_ir.apis.inference.inputs import find_sources
    from mmdet_ir.deploy.backends import ExportedModel
    from mmdet_ir.deploy.export import export_model
    from mmdet_ir.deploy.verify import verify

    refuse_overwriting(args.out, (args.config, args.checkpoint))
    files = []
    if args.verify:
        sources = find_sources(args.verify, Path(args.out).parent / f'.{Path(args.out).name}')
        files = [file for source in sources for file in source.files]
        if len(files) > args.number:  # evenly among them, as folders hold one recording after the other
            files = files[:: -(-len(files) // args.number)]
    inferencer = IRInferencer(args.config, args.checkpoint, 'cpu', show_progress=False, cfg_options=args.cfg_options)
    export_model(inferencer, args.out, args.format, size=args.size, batch=args.batch, masks=args.masks)
    print(f'written: {args.out}')
    if not files:
        return
    exported = ExportedModel(args.out, device=args.device)
    results = verify(exported, inferencer, ((file.name, inferencer.read(file)) for file in files))
    for batch, comparison in results.items():
        title = (
            f'{comparison.images} images ({comparison.without} without detections), {comparison.detections} detections'
        )
        table = AsciiTable([['', 'worst', 'limit', 'where'], *comparison.table()])
        print(f'\nbatch {batch}: {title}\n{table.table}')
        for line in comparison.differences[:20]:
            print(f'difference: {line}')
    if not all(comparison.same for comparison in results.values()):
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
