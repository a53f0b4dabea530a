#!/usr/bin/env python
"""Draws an infrared image under each tone mapping, with default settings or those given as METHOD:key=value,..."""

import argparse
import ast

from mmdet_ir.cli import run_tool, tool_parser
from mmdet_ir.cli.choices import RJPEG_MODES
from mmdet_ir.fileio import refuse_overwriting

DEFAULT = ('linear', 'percentile', 'plateau', 'clahe', 'detail')


def parse_mapping(text: str) -> dict:
    """``'window:low=6000,high=7000'`` to the arguments of ``tone_map``."""
    method, _, settings = text.partition(':')
    try:
        pairs = dict(entry.split('=') for entry in settings.split(',') if entry)
        return {'method': method, **{key: ast.literal_eval(value) for key, value in pairs.items()}}
    except (ValueError, SyntaxError) as error:
        raise ValueError(f'expected METHOD or METHOD:key=number,key=number, got {text!r}') from error


def parse_args() -> argparse.Namespace:

    parser = tool_parser(
        __doc__,
        'example: python tools/analysis/draw_tone_mapping.py frame.tiff --out tones.png '
        '--mappings linear window:low=6000,high=7000 percentile',
    )
    parser.add_argument('image', help='image file')
    parser.add_argument('--out', required=True, help='picture to write, .png or .jpg')
    parser.add_argument('--mappings', nargs='+', default=DEFAULT, metavar='METHOD', help='what to draw')
    parser.add_argument('--page', type=int, help='image of a stack, from 0')
    parser.add_argument('--rjpeg', choices=RJPEG_MODES, default='picture', help='what to take from FLIR R-JPEG')
    parser.add_argument('--columns', type=int, default=3, help='pictures in a row (default: 3)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.tone_mapping_figure import draw_tone_mappings
    from mmdet_ir.datasets.images.infrared_io import read_infrared
    from mmdet_ir.datasets.images.values import to_single_channel

    refuse_overwriting(args.out, (args.image,))
    image = to_single_channel(read_infrared(args.image, page=args.page, rjpeg=args.rjpeg), args.image)
    mappings = {text: parse_mapping(text) for text in args.mappings}
    draw_tone_mappings(image, mappings, args.out, args.columns)
    print(f'{args.out}: {args.image}, {image.dtype}, values {image.min()} to {image.max()}')


if __name__ == '__main__':
    run_tool(main)
