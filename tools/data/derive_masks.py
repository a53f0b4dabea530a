#!/usr/bin/env python
"""Write a copy of a COCO file in which every box has a mask, from the image or from a trained model."""

import argparse

from mmdet_ir.cli import Skipped, add_cfg_options, add_device, add_image_key, run_tool, tool_parser
from mmdet_ir.cli.choices import MASK_METHODS, MIN_IOU

EPILOG = """\
examples:
  python tools/data/derive_masks.py boxes.json --images images/ --out masks.json
  python tools/data/derive_masks.py data/flir/annotations/train.json --images data/flir/images \\
      --out data/flir/annotations/train_boxinst.json --model configs/quickstart/boxinst_synthetic.py boxinst.pth
How good they are: docs/guide/masks_from_boxes.md
"""


def parse_args() -> argparse.Namespace:

    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('annotations', help='COCO file with boxes')
    parser.add_argument('--images', required=True, metavar='FOLDER', help='folder that its file names are relative to')
    parser.add_argument('--out', required=True, metavar='NEW.json', help='COCO file to write')
    parser.add_argument('--method', choices=MASK_METHODS, help='default: threshold, or model or sam if one is given')
    parser.add_argument(
        '--model',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='trained model whose masks are taken: BoxInst, CondInst, or any other that segments instances',
    )
    parser.add_argument(
        '--sam',
        metavar='WEIGHTS',
        help='masks of SAM: a folder, or a name on the Hugging Face hub such as facebook/sam-vit-base (extra sam)',
    )
    parser.add_argument(
        '--replace', action='store_true', help='replace masks that are not marked as derived, too (default: keep them)'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace NEW.json if it exists')
    parser.add_argument(
        '--min-iou',
        type=float,
        default=MIN_IOU,
        help="IoU that a prediction's box needs with the given one, else the box is thresholded (%(default)s)",
    )
    add_image_key(parser)
    add_device(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.derive_masks import derive_masks

    skipped = Skipped()
    counts = derive_masks(
        args.annotations,
        args.images,
        args.out,
        args.method or ('model' if args.model else 'sam' if args.sam else 'threshold'),
        tuple(args.model) if args.model else None,
        replace=args.replace,
        overwrite=args.overwrite,
        min_iou=args.min_iou,
        image_key=args.image_key,
        device=args.device,
        cfg_options=args.cfg_options,
        skipped=skipped,
        sam=args.sam,
    )
    print(counts)
    print(f'written: {args.out}')
    skipped.finish()


if __name__ == '__main__':
    run_tool(main)
