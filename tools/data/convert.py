#!/usr/bin/env python
"""Convert an infrared release from its own layout to COCO with masks derived from its boxes."""

import argparse
import sys

from mmdet_ir.datasets.converters import convert_drone_ir, convert_hit_uav, drone_ir, hit_uav

EPILOG = """\
examples:
  python tools/data/convert.py hit-uav downloads/HIT-UAV data/hit_uav
  python tools/data/convert.py drone-ir downloads/Drone-detection-dataset data/drone_ir --stride 15
Then merge them: python tools/data/merge.py data/real4 data/hit_uav data/drone_ir
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('src', metavar='SRC', help="folder of the release, in the release's own layout")
    common.add_argument('out', metavar='OUT', help='folder to write: annotations/{train,val}.json and images/')
    common.add_argument('--overwrite', action='store_true', help='replace the data set that is in OUT')
    common.add_argument('--strict', action='store_true', help='exit with code 1 if any file had to be skipped')
    releases = parser.add_subparsers(dest='release', required=True)

    hit = releases.add_parser('hit-uav', parents=[common], help='HIT-UAV: SRC holds normal_json/ and rotate_json/')
    hit.add_argument(
        '--val-dates',
        nargs='+',
        default=list(hit_uav.VAL_DATES),
        metavar='YYYYMMDD',
        help='recording dates for validation, all others are for training (default: %(default)s)',
    )
    drone = releases.add_parser(
        'drone-ir', parents=[common], help='Drone-detection-dataset, infrared drone clips: SRC holds Data/Video_IR/'
    )
    drone.add_argument(
        '--stride', type=int, default=drone_ir.STRIDE, help='take every k-th frame, 30 a second (default: %(default)s)'
    )
    drone.add_argument(
        '--empty-every',
        type=int,
        default=drone_ir.EMPTY_EVERY,
        help='of the taken frames without a drone keep every k-th (default: %(default)s)',
    )
    drone.add_argument('--train-ratio', type=float, default=0.8, help='share of the clips (default: %(default)s)')
    drone.add_argument('--seed', type=int, default=0, help='which clips are for training (default: %(default)s)')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        if args.release == 'hit-uav':
            report = convert_hit_uav(args.src, args.out, tuple(args.val_dates), args.overwrite)
        else:
            report = convert_drone_ir(
                args.src, args.out, args.stride, args.empty_every, args.train_ratio, args.seed, args.overwrite
            )
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f'error: {error}')
    print(report)
    return 1 if args.strict and report.skipped else 0


if __name__ == '__main__':
    sys.exit(main())
