#!/usr/bin/env python
"""Convert infrared data from the layout of a release or a labelling tool to a COCO data set."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mmdet_ir.cli import named_entries, run_tool, tool_parser
from mmdet_ir.cli.choices import EMPTY_EVERY, RELEASES, STRIDE, VAL_DATES

if TYPE_CHECKING:
    from mmdet_ir.datasets import converters

EPILOG = """\
examples:
  python tools/data/convert.py hit-uav downloads/HIT-UAV data/hit_uav
  python tools/data/convert.py drone-ir downloads/Drone-detection-dataset data/drone_ir --stride 15
  python tools/data/convert.py flir-v2 downloads/FLIR_ADAS_v2 data/flir_v2 --bits 16 --derive-masks --classes four
  python tools/data/convert.py labelme recordings/labelled data/mine --classes human=person,rider car=car,taxi
  python tools/data/convert.py labelme recordings/labelled data/mine --clip-from '(flight[0-9]+)_'
  python tools/data/convert.py masks recordings/masks data/mine --kind semantic --values 1=person 2=car
Then merge them: python tools/data/merge.py data/real4 data/hit_uav data/drone_ir

Exit code: 0 if everything was written that was asked for; 1 if objects or files had to be left out, which the report
counts and names; 2 for a mistake in the command or in the source, and then nothing is written.
Layouts and what becomes of them: docs/guide/data.md
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('src', metavar='SRC', help='folder of the source, in its own layout')
    common.add_argument('out', metavar='OUT', help='folder to write: annotations/*.json and images/')
    common.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the data set that is in OUT; a split that was made there by split.py is kept, and the report '
        'says if another one is not',
    )
    common.add_argument(
        '--strict', action='store_true', help='changes nothing: files that had to be skipped give exit code 1 anyway'
    )
    labels = argparse.ArgumentParser(add_help=False, parents=[common])
    labels.add_argument(
        '--classes',
        nargs='+',
        metavar='CLASS=NAME,NAME',
        help='class to write and the names of the source that it stands for, such as human=person,pedestrian; names '
        'that are in none are counted and left out; "four" stands for human=human,person,pedestrian car=car '
        "bicycle=bicycle,bike uav=uav,drone (default: the source's own names)",
    )
    labels.add_argument(
        '--derive-masks', action='store_true', help='derive masks for objects with boxes only, marked as derived'
    )
    labels.add_argument(
        '--clip-from',
        metavar="folder|'REGEX'",
        help='the recording of each image, as its field "clip" for split.py --group-by clip: the folder that the '
        'image is in, or what a regular expression finds in the file name (its first group)',
    )
    labels.add_argument(
        '--depth', choices=('8', '16', 'float'), help='take the images of this depth only (default: all, told apart)'
    )
    labels.add_argument(
        '--raw',
        nargs=3,
        metavar=('W', 'H', 'DTYPE'),
        help='take files of pixels alone (.raw, .bin) as images, such as --raw 640 512 uint16; written as .npy',
    )
    labels.add_argument('--fill-holes', action='store_true', help='fill holes of masks, so that all become polygons')
    formats = parser.add_subparsers(dest='format', metavar='FORMAT', required=True)

    hit = formats.add_parser('hit-uav', parents=[common], help='HIT-UAV: SRC holds normal_json/ and rotate_json/')
    hit.add_argument(
        '--val-dates',
        nargs='+',
        default=list(VAL_DATES),
        metavar='YYYYMMDD',
        help='recording dates for validation, all others are for training (default: %(default)s)',
    )
    hit.add_argument(
        '--dev-dates',
        nargs='+',
        default=[],
        metavar='YYYYMMDD',
        help='recording dates to set aside from training as annotations/dev.json, for choices (default: none)',
    )
    drone = formats.add_parser(
        'drone-ir', parents=[common], help='Drone-detection-dataset, infrared drone clips: SRC holds Data/Video_IR/'
    )
    drone.add_argument(
        '--stride', type=int, default=STRIDE, help='take every k-th frame, 30 a second (default: %(default)s)'
    )
    drone.add_argument(
        '--empty-every',
        type=int,
        default=EMPTY_EVERY,
        help='of the taken frames without a drone keep every k-th (default: %(default)s)',
    )
    drone.add_argument(
        '--train-ratio',
        type=float,
        default=0.8,
        help='share of the clips; clips of one scene stay together (default: %(default)s)',
    )
    drone.add_argument(
        '--dev-ratio',
        type=float,
        default=0.0,
        help='share of the clips for training to set aside as annotations/dev.json, for choices, as nearly as whole '
        'scenes allow (default: %(default)s)',
    )
    drone.add_argument('--seed', type=int, default=0, help='which scenes are for training (default: %(default)s)')
    for name, text in (
        ('flir-v1', 'FLIR ADAS v1.3, thermal: SRC holds train/, val/ and video/'),
        ('flir-v2', 'FLIR ADAS v2, thermal: SRC holds images_thermal_train/ and so on'),
    ):
        flir = formats.add_parser(name, parents=[labels], help=text)
        flir.add_argument(
            '--bits', type=int, choices=(8, 16), default=8, help='8: JPEGs, 16: TIFFs of counts (default: %(default)s)'
        )
        flir.add_argument(
            '--keep-eight-bit',
            action='store_true',
            help='with --bits 16, keep TIFFs that hold 8-bit levels only (marked); else they are left out',
        )
    for name, text in RELEASES.items():
        release = formats.add_parser(name, parents=[labels], help=text)
        release.add_argument(
            '--bits', type=int, choices=(8, 16), default=8, help='16: the counts, of PST900 (default: %(default)s)'
        )
    formats.add_parser('labelme', parents=[labels], help='LabelMe: SRC holds a JSON file for each image')
    cvat = formats.add_parser(
        'cvat-coco',
        parents=[labels],
        help='CVAT "COCO 1.0": SRC holds annotations/instances_*.json and images/; also Roboflow, Label Studio, '
        'other COCO files',
    )
    cvat.add_argument(
        '--keep-iscrowd',
        action='store_true',
        help='RLE masks marked iscrowd are ignored regions; else instances, as CVAT marks every mask so',
    )
    formats.add_parser('yolo-seg', parents=[labels], help='YOLO: SRC holds data.yaml, images/ and labels/')
    voc = formats.add_parser('voc', parents=[labels], help='Pascal VOC boxes: SRC holds Annotations/ and JPEGImages/')
    voc.add_argument(
        '--origin',
        type=int,
        choices=(0, 1),
        default=1,
        help='1: pixels count from 1, xmax is the last one; 0: from 0, xmax is the right edge (default: %(default)s)',
    )
    masks = formats.add_parser('masks', parents=[labels], help='mask images: SRC holds images/ and masks/')
    masks.add_argument(
        '--kind',
        choices=('instance', 'semantic'),
        required=True,
        help='instance: a value is an object; semantic: a value is a class, its connected components are the objects',
    )
    masks.add_argument(
        '--values',
        nargs='+',
        required=True,
        metavar='NUMBER=NAME',
        help='classes in the masks, such as 1=person',
    )
    masks.add_argument(
        '--divisor',
        type=int,
        default=0,
        help='of instance masks, class number = value // divisor; without it all objects are of the one class in '
        '--values',
    )
    masks.add_argument(
        '--min-area', type=int, default=1, help='pixels of a component of a semantic mask (default: %(default)s)'
    )
    return parser.parse_args()


def parse_values(entries: list[str]) -> dict[int, str]:
    """Read ``['1=person', '2=car']``."""
    form = 'NUMBER=NAME with each number once, such as 1=person 2=car'
    values = {}
    for number, name in named_entries('--values', entries, form).items():
        if not number.isascii() or not number.isdigit() or int(number) in values:
            raise ValueError(f'--values: expected {form}, got {number}={name}')
        values[int(number)] = name
    return values


def convert(args: argparse.Namespace) -> converters.ConversionReport:
    from mmdet_ir.datasets import converters
    from mmdet_ir.datasets.converters import Options
    from mmdet_ir.datasets.images import register_raw

    if args.format == 'hit-uav':
        dates = tuple(args.val_dates), args.overwrite, tuple(args.dev_dates)
        return converters.convert_hit_uav(args.src, args.out, *dates)
    if args.format == 'drone-ir':
        return converters.convert_drone_ir(
            args.src,
            args.out,
            args.stride,
            args.empty_every,
            args.train_ratio,
            args.seed,
            args.overwrite,
            args.dev_ratio,
        )
    chosen = {'derive_masks': args.derive_masks, 'fill_holes': args.fill_holes, 'overwrite': args.overwrite}
    if args.raw:
        register_raw(*args.raw)
    chosen |= {'raw': bool(args.raw)}
    chosen |= {'clip_from': args.clip_from, 'depth': args.depth}
    if args.classes:
        chosen['classes'] = converters.parse_classes(args.classes)
    options = Options(**chosen)
    if args.format in ('flir-v1', 'flir-v2'):
        function = converters.convert_flir_v1 if args.format == 'flir-v1' else converters.convert_flir_v2
        return function(args.src, args.out, args.bits, args.keep_eight_bit, options)
    if args.format in RELEASES:
        return converters.convert_release(args.format, args.src, args.out, args.bits, options)
    if args.format == 'labelme':
        return converters.convert_labelme(args.src, args.out, options)
    if args.format == 'cvat-coco':
        return converters.convert_cvat_coco(args.src, args.out, args.keep_iscrowd, options)
    if args.format == 'yolo-seg':
        return converters.convert_yolo_seg(args.src, args.out, options)
    if args.format == 'voc':
        return converters.convert_voc(args.src, args.out, args.origin, options)
    values = parse_values(args.values)
    return converters.convert_mask_images(args.src, args.out, args.kind, values, args.divisor, args.min_area, options)


def main() -> None:
    args = parse_args()
    report = convert(args)
    print(report)
    if report.lost:
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
