#!/usr/bin/env python
"""Tests a checkpoint: prints the metrics, and saves predictions and pictures on request."""

import argparse

from mmdet_ir.cli import add_cfg_options, add_launcher, add_model, add_tiles, run_tool, tool_parser

EXAMPLES = r"""examples:
  python tools/test.py configs/ir/mask_rcnn.py work_dirs/mask_rcnn/epoch_12.pth
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --out predictions.pkl --show-dir pictures
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --tta --out predictions.pkl
  python tools/test.py configs/ir/mask_rcnn.py epoch_12.pth --tta \
      --cfg-options tta_views.flips=[horizontal,vertical] tta_views.scales=[1.0,1.5]
  python tools/test.py CONFIG epoch_12.pth --tile 640x512        # large images, tile by tile
  tools/dist_test.sh configs/ir/mask_rcnn.py epoch_12.pth 2       # two GPUs, or two CPU processes
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument('--work-dir', help='folder for logs and metrics (default: work_dirs/NAME_OF_CONFIG)')
    parser.add_argument('--out', metavar='FILE.pkl', help='save all predictions, masks as RLE')
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument('--show-dir', help="save drawn predictions in this folder of the run's folder in the work dir")
    parser.add_argument('--wait-time', type=float, default=2.0, help='seconds to show each picture (default: 2)')
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: merges what is found in the image and its mirror image, or in the config's "
        'tta_views or tta_pipeline; twice the time; see docs/guide/evaluate.md',
    )
    add_tiles(parser)
    add_cfg_options(parser, 'test_dataloader.batch_size=4')
    add_launcher(parser)
    args = parser.parse_args()
    if args.tile and (args.tta or args.show or args.show_dir or args.work_dir or args.launcher != 'none'):
        parser.error('--tile: expected neither --tta, --show, --show-dir, --work-dir nor --launcher beside it')
    return args


def main() -> None:
    args = vars(parse_args())
    tile, overlap = args.pop('tile'), args.pop('overlap')

    from mmdet_ir.apis import test, test_tiled
    from mmdet_ir.apis.inference.tiles import parse_tile

    if tile is None:
        test(**args)
    else:
        kept = {name: args[name] for name in ('config', 'checkpoint', 'out', 'cfg_options')}
        test_tiled(tile=parse_tile(tile), overlap=overlap, **kept)


if __name__ == '__main__':
    run_tool(main)
