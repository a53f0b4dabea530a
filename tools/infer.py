#!/usr/bin/env python
"""Runs a trained model on images, folders, stacks and videos; writes pictures, a video, COCO JSON and CSV."""

import argparse
import sys

from mmdet_ir.cli import add_cfg_options, add_device, add_model, add_tiles, run_tool, tool_parser

EXAMPLES = """examples (MODEL stands for a config and its checkpoint):
  python tools/infer.py MODEL image.png --out found                    # one image
  python tools/infer.py MODEL images/ more/*.tiff --out found          # folders, with what is below them, and files
  python tools/infer.py MODEL clip.mp4 --out found --score 0.5         # found/videos/clip.mp4
  python tools/infer.py MODEL clip.mp4 --track --out found             # with identities
  python tools/infer.py MODEL frames/ --fps 30 --out found             # a folder of frames becomes one video
  python tools/infer.py MODEL 'frames/frame_%05d.png' --fps 30 --out found
  python tools/infer.py MODEL 0 --out found                            # a camera; Ctrl-C ends it
  python tools/infer.py MODEL rtsp://camera/stream --out found         # or http://
  SOURCE | python tools/infer.py MODEL - --raw 640 512 uint16 --out found
  python tools/infer.py MODEL mosaic.tif --tile 640x512 --out found    # large images, tile by tile
  python tools/infer.py MODEL images/ --out found --score 0.3 human=0.5 car=0.4 --batch-size 8 --device cuda:1

found/ then holds overlays/*.png, videos/*.mp4, detections.json (COCO), detections.csv (one row for each instance, with
the mean and maximum of the values in its mask) and report.json, which lists what could not be read. The tool ends with
1 if there was an input of which nothing could be used. See
docs/guide/infer.md.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='image, stack, video, folder, quoted glob, pattern such as frame_%%05d.png, number of a camera, '
        'address of a stream, or - for raw frames on standard input',
    )
    parser.add_argument('--out', required=True, metavar='FOLDER', help='output folder, new or empty')
    parser.add_argument(
        '--score',
        nargs='+',
        default=['0.3'],
        metavar='SCORE',
        help='lowest score, for all classes and as CLASS=SCORE for single ones (default: 0.3)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='frames of one size that are predicted together (default: %(default)s)',
    )
    add_device(parser)
    parser.add_argument(
        '--fps',
        type=float,
        help='make one video of the images of each folder, glob, pattern or '
        'stack; also the rate of other videos (default: their own)',
    )
    parser.add_argument('--scale', type=int, help='enlarge drawings by this whole number (default: up to 960 pixels)')
    add_tiles(parser)
    parser.add_argument(
        '--track',
        nargs='?',
        const='byte',
        choices=('byte', 'ocsort'),
        help='follow targets through videos: numbers in the drawings, track_id in detections.json, tables in '
        'FOLDER/tracks (needs the package lap)',
    )
    parser.add_argument(
        '--smooth',
        nargs='?',
        type=float,
        const=0.7,
        metavar='SHARE',
        help='with --track: average scores and masks along each track; SHARE is what earlier frames weigh (0.7; masks '
        'change from above 0.5 on; default: not at all)',
    )
    parser.add_argument(
        '--raw',
        nargs=3,
        metavar=('WIDTH', 'HEIGHT', 'TYPE'),
        help='layout of the frames on standard input, such as 640 512 uint16 (Y16)',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=10.0,
        metavar='SECONDS',
        help='without a new frame, after which a live source is taken to have ended (default: %(default)s)',
    )
    parser.add_argument(
        '--every-frame',
        action='store_true',
        help='live sources wait for the model, instead of losing frames for which it has no time',
    )
    parser.add_argument('--no-pictures', action='store_true', help='write the detections only, draw nothing')
    parser.add_argument('--overwrite', action='store_true', help='replace files of the same names in FOLDER')
    add_cfg_options(parser, 'model.test_cfg.rcnn.max_per_img=300')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.inference.live import parse_raw
    from mmdet_ir.apis.inference.run import REPORT, infer
    from mmdet_ir.apis.inference.tiles import parse_tile

    report = infer(
        args.config,
        args.checkpoint,
        args.inputs,
        args.out,
        batch_size=args.batch_size,
        device=args.device,
        scores=args.score,
        fps=args.fps,
        scale=args.scale,
        pictures=not args.no_pictures,
        overwrite=args.overwrite,
        tile=parse_tile(args.tile) if args.tile else None,
        overlap=args.overlap,
        track=args.track,
        smooth=args.smooth,
        raw=parse_raw(args.raw) if args.raw else None,
        timeout=args.timeout,
        every_frame=args.every_frame,
        cfg_options=args.cfg_options,
    )
    found = ', '.join(f'{number} {name}' for name, number in report['instances'].items())
    print(f'{args.out}: {report["frames"]} frames in {report["seconds"]} s on {report["device"]}: {found}')
    for large in report.get('reduced', ()):
        print(f'{large["path"]}: its picture is {large["factor"]} times smaller each way, to fit into the memory')
    for live in report.get('live', ()):
        print(f'{live["input"]}: {live["received"]} frames received, {live["dropped"]} dropped')
    if report['skipped']:
        first = report['skipped'][0]
        print(f'skipped: {len(report["skipped"])}, the first: {first["reason"]} (all: {args.out}/{REPORT})')
    if not report['complete']:
        print('interrupted: the files hold what was done until then')
        sys.exit(130)
    if report['lost']:
        print(f'inputs of which nothing could be used: {", ".join(report["lost"])}')
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
