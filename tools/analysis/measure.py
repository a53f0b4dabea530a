#!/usr/bin/env python
"""Score detected masks in every way that the data allow: COCO's columns, boundary IoU, and by size and contrast of the
targets and by the kind of image (day or night, source, ...)."""

import argparse
import json
import sys

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.cli.choices import BACKENDS, BOUNDARY_RATIO, RING_WIDTH
from mmdet_ir.fileio import refuse_overwriting, write_text
from mmdet_ir.markdown import markdown_table

EPILOG = """\
examples:
  # the detections of a trained model, as RUN.segm.json
  python tools/test.py CONFIG CHECKPOINT --cfg-options test_evaluator.outfile_prefix=work_dirs/RUN

  # everything but the contrast
  python tools/analysis/measure.py data/real/annotations/val.json work_dirs/RUN.segm.json

  # everything, also as JSON and for a document
  python tools/analysis/measure.py data/real/annotations/val.json work_dirs/RUN.segm.json --images data/real/images \\
      --out measures.json --markdown

  # contrast of the 14-bit counts; night and day only; a boundary of two pixels in images of 320x256
  python tools/analysis/measure.py data/synthetic/annotations/val.json RUN.segm.json --only contrast \\
      --images data/synthetic/images --image-key counts_file
  python tools/analysis/measure.py data/hit_uav/annotations/val.json RUN.segm.json --only scenario
  python tools/analysis/measure.py data/synthetic/annotations/val.json RUN.segm.json --only boundary \\
      --boundary-ratio 0.005

What the measures are: docs/guide/evaluate.md
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('annotations', metavar='ANNOTATIONS.json', help='COCO file with masks')
    parser.add_argument('detections', metavar='DETECTIONS.json', help='COCO results with RLE masks (*.segm.json)')
    parser.add_argument('--images', metavar='FOLDER', help='folder of the file names; needed for the contrast')
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='NAME',
        help='boundary, size, contrast, or fields of the images such as scenario or source (default: all there are)',
    )
    parser.add_argument('--out', metavar='FILE.json', help='save all numbers, fractions without rounding')
    parser.add_argument('--markdown', action='store_true', help='print Markdown tables')
    parser.add_argument('--backend', choices=BACKENDS, default=BACKENDS[0], help='default: %(default)s')
    parser.add_argument(
        '--boundary-ratio',
        type=float,
        default=BOUNDARY_RATIO,
        metavar='R',
        help='width of the boundary, of the image diagonal (default: %(default)s)',
    )
    parser.add_argument(
        '--ring-width',
        type=int,
        default=RING_WIDTH,
        metavar='PIXELS',
        help="width of a target's surroundings, for the contrast (default: %(default)s)",
    )
    parser.add_argument(
        '--max-dets',
        type=int,
        default=100,
        metavar='N',
        help='how many detections of a class count in an image, the best ones (default: %(default)s, as in COCO)',
    )
    parser.add_argument(
        '--image-key',
        default='file_name',
        metavar='FIELD',
        help='field of the images that names the file, for the contrast (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.evaluation import MeasureSettings, measure
    from mmdet_ir.evaluation.measures_table import measure_tables, plain

    refuse_overwriting(args.out, (args.annotations, args.detections))
    settings = MeasureSettings(
        backend=args.backend,
        boundary_ratio=args.boundary_ratio,
        ring_width=args.ring_width,
        image_key=args.image_key,
        max_dets=args.max_dets,
    )
    result = measure(args.annotations, args.detections, args.images, extra=args.only, settings=settings, progress=True)
    print(f'{result["detections"]} detections in {result["images"]} images; mAP in percent, recall as a fraction')
    if 'uncounted' in result:
        sys.stderr.write(f'warning: {result["uncounted"]}; --max-dets counts more\n')
    for title, lines in measure_tables(result):
        print(f'\n{title}\n\n{markdown_table(lines[0], lines[1:])}' if args.markdown else f'\n{title}\n{plain(lines)}')
    if args.out:
        write_text(args.out, json.dumps(result, indent=1, allow_nan=False) + '\n')


if __name__ == '__main__':
    run_tool(main)
