#!/usr/bin/env python
"""Draws the feature maps of one image before and after the plugin layers (BNSA) in front of a model's neck.

OUT.json beside the figure gets the channels shown and the response on targets and background.
"""

import argparse

from mmdet_ir.cli import add_cfg_options, add_device, run_tool, tool_parser
from mmdet_ir.cli.choices import SCALES
from mmdet_ir.fileio import refuse_overwriting

EXAMPLES = """examples:
  an image of the test set, whose masks say where the targets are:
    python tools/analysis/draw_feature_maps.py configs/ir/mask_rcnn_bnsa.py work_dirs/mask_rcnn_bnsa/epoch_100.pth \\
        --image-id 12 --out maps.pdf
  any image, two targets known by their boxes, three channels of each stage, a part of the image enlarged:
    python tools/analysis/draw_feature_maps.py configs/ir/mask_rcnn_bnsa.py work_dirs/mask_rcnn_bnsa/epoch_100.pth \\
        frame.png --box 311 200 24 18 --box 80 64 12 30 --channels 3 --crop 40 40 320 256 --out maps.png
"""


def parse_args() -> argparse.Namespace:

    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='trained weights')
    parser.add_argument('image', nargs='?', help='image file; not needed with --image-id')
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--image-id', metavar='ID', help="the image's id in the test set's annotation file")
    where.add_argument(
        '--box',
        type=float,
        nargs=4,
        action='append',
        default=[],
        metavar=('X', 'Y', 'W', 'H'),
        help='a target in pixels of the image; may be given again',
    )
    parser.add_argument('--out', required=True, help='figure to write, .png, .pdf, .svg or .jpg')
    parser.add_argument('--channels', type=int, default=1, help='single channels to show (default: %(default)s)')
    parser.add_argument(
        '--mean', action=argparse.BooleanOptionalAction, default=True, help='show the mean over all channels'
    )
    parser.add_argument(
        '--scale',
        choices=SCALES,
        default='map',
        help='upper end of the colours: of each map (default), or common to before and after',
    )
    parser.add_argument('--crop', type=int, nargs=4, metavar=('X', 'Y', 'W', 'H'), help='part of the image to show')
    add_device(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = vars(parse_args())

    from mmdet_ir.analysis.features.feature_map_figure import draw_feature_maps

    refuse_overwriting(args['out'], (args['config'], args['checkpoint'], args['image']))
    report = draw_feature_maps(boxes=args.pop('box'), **args)
    print(f'{args["out"]}: {report["image"]}, targets: {report["targets"]["count"]}')
    print(f'channels: {report["channel_rule"]}')
    for stage in report['stages']:
        rows = [('mean', stage['mean']), *((f'channel {shown["channel"]}', shown) for shown in stage['shown'])]
        for name, numbers in rows:
            ratios = [numbers[side]['ratio'] for side in ('before', 'after') if side in numbers]
            text = ' -> '.join('-' if ratio is None else f'{ratio:.3f}' for ratio in ratios)
            print(f'{stage["name"]:4}{stage["plugin"] or "no plugin":12}{name:14}target/background {text}')


if __name__ == '__main__':
    run_tool(main)
