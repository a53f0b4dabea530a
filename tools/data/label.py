#!/usr/bin/env python
"""Hands images to labelling tools and takes labels back: 8-bit copies, labels of a model to correct, and the way back.

Labelling tools read 8 bits. `copies` writes tone-mapped copies of 16-bit recordings, with a manifest. `prelabels` lets
a model draw first, so that its masks are corrected instead of drawn. The corrected labels go through
tools/data/convert.py; `back` then replaces the copies by the recordings, after a check that nothing moved.
"""

import argparse
from pathlib import Path

from mmdet_ir.cli import Skipped, add_cfg_options, add_device, add_model, run_tool, split_entry, tool_parser

EPILOG = """\
examples:
  python tools/data/label.py copies recordings/ to_label
  python tools/data/label.py prelabels CONFIG CHECKPOINT to_label --format labelme
  #  ... correct the masks in the labelling tool, then:
  python tools/data/convert.py labelme to_label converted
  python tools/data/label.py back converted to_label data/mine
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    copies = commands.add_parser('copies', help='8-bit copies of recordings, with a manifest')
    copies.add_argument('source', metavar='FOLDER', help='recordings, with sub-folders')
    copies.add_argument('out', metavar='OUT', help='folder of the copies')
    copies.add_argument('--method', default='window', help='tone mapping of the copies (default: %(default)s)')
    copies.add_argument(
        '--settings',
        nargs='+',
        default=[],
        metavar='NAME=NUMBER',
        help='of the method, such as low=7000 high=9000 (default for window: measured on all images)',
    )
    copies.add_argument('--overwrite', action='store_true', help='replace copies that are there')

    pre = commands.add_parser('prelabels', help="a model's masks in the form of a labelling tool")
    add_model(pre)
    pre.add_argument('images', metavar='FOLDER', help='images to label')
    pre.add_argument('--format', required=True, choices=('labelme', 'yolo', 'coco', 'cvat'), help='labelling tool')
    pre.add_argument('--out', metavar='OUT', help='folder of the labels (default: beside the images)')
    pre.add_argument('--overwrite', action='store_true', help='replace labels that are there, corrected or not')
    pre.add_argument('--score', nargs='+', default=['0.3'], metavar='SCORE', help='as in tools/infer.py')
    add_device(pre)
    add_cfg_options(pre)

    back = commands.add_parser('back', help='a data set of the recordings from the labels of their copies')
    back.add_argument('labelled', metavar='CONVERTED', help='data set that tools/data/convert.py made of the labels')
    back.add_argument('copies', metavar='COPIES', help='folder of the copies, with the manifest')
    back.add_argument('out', metavar='OUT', help='folder of the new data set')
    back.add_argument('--source', metavar='FOLDER', help='the recordings, if they lie elsewhere now')
    back.add_argument('--overwrite', action='store_true', help='replace a data set that is there')
    return parser.parse_args()


def number(text: str) -> float:
    """A number, a whole one as an integer: OpenCV takes no other ones for numbers of pixels and tiles."""
    try:
        value = float(text)
        return int(value) if value.is_integer() else value
    except ValueError as error:
        raise ValueError(f'--settings: expected NAME=NUMBER, got the value {text!r}') from error


def main() -> None:
    args = parse_args()
    skipped = Skipped()
    if args.command == 'copies':
        from mmdet_ir.apis.labelling import make_copies

        settings = dict(split_entry('--settings', entry, 'NAME=NUMBER') for entry in args.settings)
        settings = {name: number(value) for name, value in settings.items()}
        manifest = make_copies(args.source, args.out, args.method, settings, args.overwrite, skipped)
        print(f'{args.out}: {len(manifest["copies"])} copies, tone mapping {manifest["tone_mapping"]}')
    elif args.command == 'prelabels':
        from mmdet_ir.apis.labelling.predict import predict_folder
        from mmdet_ir.apis.labelling.prelabels import refuse_replacing, write_prelabels
        from mmdet_ir.datasets.images.files import find_images

        out = args.out or args.images
        names = [path.relative_to(args.images).as_posix() for path in find_images(Path(args.images))]
        refuse_replacing(out, names, args.format, args.overwrite, args.images)  # before the model works for nothing
        found, classes = predict_folder(
            args.config, args.checkpoint, args.images, args.score, args.device, args.cfg_options, skipped
        )
        files = write_prelabels(out, found, classes, args.format, args.images, args.overwrite)
        total = sum(len(instances) for _, instances in found.values())
        print(f'{out}: {total} masks in {len(found)} images, {len(files)} files')
        if args.format == 'yolo' and Path(out).resolve() != Path(args.images).resolve():
            print(f'YOLO finds labels by the place of the images: put these into {Path(out, "images")}')
    else:
        from mmdet_ir.apis.labelling import labels_back

        done = labels_back(args.labelled, args.copies, args.out, args.source, args.overwrite)
        for split, coco in done.items():
            print(f'{args.out}: {split}: {len(coco["annotations"])} targets in {len(coco["images"])} images')
    skipped.finish()


if __name__ == '__main__':
    run_tool(main)
