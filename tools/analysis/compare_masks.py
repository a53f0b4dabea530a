#!/usr/bin/env python
"""Compare masks of COCO files, such as derived ones, with exact masks of the same objects: IoU per class."""

import argparse
import json

from mmdet_ir.cli import Skipped, add_image_key, named_entries, run_tool, tool_parser
from mmdet_ir.fileio import refuse_overwriting, write_text

EPILOG = """\
example:
  python tools/analysis/compare_masks.py data/synthetic/annotations/val.json threshold=thr.json boxinst=boxinst.json \\
      --images data/synthetic/images --picture crops.png
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('exact', metavar='EXACT.json', help='COCO file with exact masks')
    parser.add_argument(
        'others', nargs='+', metavar='NAME=FILE.json', help='COCO files with the same annotation ids, and their names'
    )
    parser.add_argument('--json', metavar='FILE', help='also write the numbers as JSON')
    parser.add_argument('--picture', metavar='FILE', help='also draw crops, exact masks green, the others red')
    parser.add_argument('--images', metavar='FOLDER', help='folder that file names are relative to, for --picture')
    parser.add_argument('--per-class', type=int, default=3, help='crops of each class (default: %(default)s)')
    add_image_key(parser, 'draw')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.mask_crops import draw_mask_crops
    from mmdet_ir.evaluation.mask_agreement import compare_masks

    others = named_entries('others', args.others, 'NAME=FILE.json')
    if args.picture and not args.images:
        raise ValueError('--picture needs --images FOLDER')
    for option, file in (('--json', args.json), ('--picture', args.picture)):
        refuse_overwriting(file, (args.exact, *others.values()), option)
    agreement = compare_masks(args.exact, others)
    print(agreement.table())
    if args.json:
        write_text(args.json, json.dumps(agreement.summary(), indent=1) + '\n')
    if args.picture:
        skipped = Skipped()
        draw_mask_crops(
            args.exact, others, agreement, args.images, args.picture, args.per_class, args.image_key, skipped
        )
        skipped.finish()


if __name__ == '__main__':
    run_tool(main)
