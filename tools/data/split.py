#!/usr/bin/env python
"""Split a COCO file reproducibly into training and validation part, stratified by class."""

import argparse
from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser

EPILOG = """\
examples:
  python tools/data/split.py data/mine/all.json data/mine/annotations
  python tools/data/split.py data/mine/all.json data/mine/annotations --group-by clip --seed 1
  python tools/data/split.py data/mine/all.json data/mine/annotations --clip-from folder
  python tools/data/split.py data/mine/all.json data/mine/annotations --clip-from '(flight[0-9]+)_'
Frames of one recording resemble each other: whenever the images have a field such as clip or date, group by it, or
validation will measure memory.
A split that is in OUT_DIR already is not touched without --overwrite. With it, known images keep their part, and
only new images are divided; delete train.json and val.json to split anew.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('coco_json', metavar='COCO_JSON', type=Path, help='COCO file to split')
    parser.add_argument('out_dir', metavar='OUT_DIR', type=Path, help='folder for train.json and val.json')
    parser.add_argument(
        '--ratio', type=float, help='share of the training part (default: that of the split that is there, else 0.8)'
    )
    parser.add_argument(
        '--seed', type=int, help='same seed, same split (default: that of the split that is there, else 0)'
    )
    parser.add_argument('--group-by', metavar='FIELD', help='image field whose values never straddle the parts')
    parser.add_argument(
        '--clip-from',
        metavar="folder|'REGEX'",
        help='split by recording: the recording is the folder that an image is in, or what a regular expression finds '
        'in its file name (its first group)',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='write the files anew; images that are in one of them keep their part'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.datasets.coco_files import count_instances, read_coco
    from mmdet_ir.datasets.coco_split import existing_split, refuse_set_aside, split_coco, take_groups, write_split
    from mmdet_ir.datasets.recordings import recordings_of
    from mmdet_ir.datasets.validation.checks.structure import frame_of

    if args.group_by and args.clip_from:
        raise ValueError(f'--clip-from: expected one way to group, got --group-by {args.group_by} as well')
    there = [path for path in (args.out_dir / 'train.json', args.out_dir / 'val.json') if path.exists()]
    if args.coco_json.resolve() in [path.resolve() for path in there]:
        raise ValueError(f'{args.coco_json} would be replaced by a part of itself; expected another OUT_DIR')
    if there and not args.overwrite:
        raise FileExistsError(
            f'{args.out_dir} holds a split already, which was kept; --overwrite writes it anew, where known images '
            f'keep their part and only new images are divided'
        )
    if len(there) == 1:
        raise ValueError(
            f'{there[0]} is no split without its other part; expected train.json and val.json, or neither'
        )
    former = existing_split(args.out_dir)
    coco = read_coco(args.coco_json)
    refuse_set_aside(coco, args.out_dir)
    if args.clip_from:
        clips = recordings_of([image['file_name'] for image in coco['images']], args.clip_from)
        for image, clip in zip(coco['images'], clips, strict=True):
            image['clip'] = clip
        args.group_by = 'clip'
        print(f'{len(set(clips))} recordings')
    elif former and not args.group_by and (group_by := take_groups(coco, former)):
        args.group_by = group_by
        print(f'by {group_by}, as the split that is there')
    kept = former.for_training if former else {}
    if args.ratio is None:
        args.ratio = former.ratio if former else 0.8
    if args.seed is None:
        args.seed = former.seed if former else 0
    parts = split_coco(coco, args.ratio, args.seed, args.group_by, kept)
    if kept:
        known = sum(frame_of(image) in kept for image in coco['images'])
        print(f'{known} images keep their part, {len(coco["images"]) - known} new images were divided')
    write_split(parts, args.out_dir, args.group_by, args.ratio, args.seed)
    for name, part in zip(('train', 'val'), parts, strict=True):
        print(f'{name}: {len(part["images"])} images, {count_instances(part)}')


if __name__ == '__main__':
    run_tool(main)
