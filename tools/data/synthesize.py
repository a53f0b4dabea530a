"""Write synthetic infrared scenes with exact instance masks as a COCO data set."""

import argparse
from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __doc__,
        'example:\n'
        '  python tools/data/synthesize.py data/synthetic --train 800 --val 150 --size 320 256 --workers 2\n'
        '  python tools/data/synthesize.py --contact-sheet scenes.jpg --seed 3\n\n'
        'The same settings give the same bytes, with any number of workers. A folder that already holds the\n'
        'data set is left as it is.',
    )
    parser.add_argument('out', nargs='?', type=Path, help='folder of the data set')
    parser.add_argument('--train', type=int, default=600, metavar='N', help='training scenes (default: %(default)s)')
    parser.add_argument('--val', type=int, default=100, metavar='N', help='validation scenes (default: %(default)s)')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(320, 256), metavar=('W', 'H'), help='pixels (default: 320 256)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of all randomness (default: %(default)s)')
    parser.add_argument('--workers', type=int, help='processes (default: one a core)')
    parser.add_argument('--no-counts', action='store_true', help='skip the 14-bit images')
    parser.add_argument('--overwrite', action='store_true', help='replace a synthetic data set that is in the folder')
    parser.add_argument('--contact-sheet', type=Path, metavar='FILE', help='draw scenes and masks as a .jpg or .png')
    args = parser.parse_args()
    if args.out is None and args.contact_sheet is None:
        parser.error('give a folder for the data set, or --contact-sheet FILE')
    return args


def main() -> None:
    args = parse_args()

    from mmdet_ir.datasets import synthetic

    if args.out is not None:
        made = synthetic.synthesize(
            args.out,
            args.train,
            args.val,
            tuple(args.size),
            args.seed,
            args.workers,
            counts=not args.no_counts,
            overwrite=args.overwrite,
        )
        print(f'{args.out}: {"written" if made else "already holds this data set"}')
    if args.contact_sheet is not None:
        synthetic.contact_sheet(args.contact_sheet, size=tuple(args.size), seed=args.seed)
        print(f'{args.contact_sheet}: written')


if __name__ == '__main__':
    run_tool(main)
