#!/usr/bin/env python
"""Writes a config for your own data set: classes, paths, depth, window and anchors are measured, not typed."""

import argparse

from mmdet_ir.cli import run_tool, tool_parser

EPILOG = """\
examples:
  # a folder that tools/data/convert.py and tools/data/split.py made, in the manner of the small full method
  python tools/data/new_config.py data/mine --out work_dirs/mine.py

  # from the weights of a model that comes with the package
  python tools/data/new_config.py data/mine --out work_dirs/mine.py --like edge --epochs 20

  # in the manner of another model, with a batch of four and twelve epochs
  python tools/data/new_config.py data/mine --out work_dirs/condinst.py \\
      --like configs/quickstart/condinst_real.py --batch-size 4 --epochs 12

then:
  python tools/data/browse.py work_dirs/mine.py --out work_dirs/mine.html     # look at what the model will see
  python tools/train.py work_dirs/mine.py --amp
"""
LIKE = 'configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_real.py'


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('data', metavar='FOLDER', help='data set with annotations/{train,val}.json and images/')
    parser.add_argument('--out', required=True, metavar='CONFIG.py', help='config to write')
    parser.add_argument(
        '--like',
        default=LIKE,
        metavar='CONFIG',
        help='config to inherit from, or the name of a model that comes with the package, from whose weights the '
        'training then starts (default: %(default)s)',
    )
    parser.add_argument('--images', default='images', metavar='FOLDER', help='of the images (default: %(default)s)')
    parser.add_argument('--train', default='annotations/train.json', metavar='FILE', help='default: %(default)s')
    parser.add_argument('--val', default='annotations/val.json', metavar='FILE', help='default: %(default)s')
    parser.add_argument(
        '--batch-size',
        type=_batch_size,
        metavar='N',
        help='images of a step, or auto: the largest that the GPU of this machine holds, measured; the learning rate '
        'follows (default: that of the config to inherit from)',
    )
    parser.add_argument('--epochs', type=int, metavar='N', help='length of the training')
    parser.add_argument('--load-from', metavar='FILE', help='weights to start from: a file, or the name of a model')
    parser.add_argument('--overwrite', action='store_true', help='replace a config that is there')
    return parser.parse_args()


def _batch_size(text: str) -> int | str:
    if text != 'auto' and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f'expected a number of images from 1 on, or auto, got {text!r}')
    return text if text == 'auto' else int(text)


def main() -> None:
    args = parse_args()
    from mmdet_ir.apis.new_config import new_config

    written = new_config(
        args.data,
        args.out,
        args.like,
        images=args.images,
        splits=(args.train, args.val),
        batch_size=args.batch_size,
        epochs=args.epochs,
        load_from=args.load_from,
        overwrite=args.overwrite,
    )
    facts = written.facts
    print(f'{written.path}: {facts.targets} targets in {facts.images} images; classes: {", ".join(facts.classes)}')
    for note in written.notes:
        print(f'  {note}')
    print(f'next: python tools/data/browse.py {written.path} --out {written.path.with_suffix(".html")}')
    print(f'      python tools/train.py {written.path} --amp')


if __name__ == '__main__':
    run_tool(main)
