#!/usr/bin/env python
"""Measures what tiles (tools/infer.py --tile) cost: a mosaic of images, tile by tile, against the whole images."""

import argparse

from mmdet_ir.cli import add_cfg_options, add_device, add_model, add_tiles, run_tool, tool_parser

EXAMPLES = """examples:
  python tools/analysis/measure_tiles.py edge images/*.jpg --columns 8
  python tools/analysis/measure_tiles.py CONFIG CHECKPOINT images/*.jpg --columns 8 --tile 320x256 --picture mosaic.png

The images lie side by side in rows of --columns. What the model finds in each of them by itself is the reference; no
annotations are needed. What it finds in the mosaic tile by tile is compared with it: a reference and a detection of
its class are one target if the IoU of their masks is 0.5 or more. Columns of the table:

  Found whole      references, without those within 16 pixels of the border of two images, where the mosaic shows
                   something else than the image does
  Once, Twice or more, Missed   how often the tiles found them
  Extra            detections that are those of no reference, and of these
  Pieces           the ones of which at least half lies in a reference of their class
  Mean IoU, Median IoU   of the masks of what was found with the masks of the references

Lines of the table: all targets; those that only one tile sees, and those that several see; those that come to the end
of a tile, which cuts them there; those that no tile sees whole; and as a measure of what has nothing to do with seams:

  no tiles: moved   windows as large as an image, about half an image further right and down, without joining. A model
                   finds other targets when other pixels surround them, or when they lie otherwise on the grid of its
                   strides. Only targets that are 16 pixels or more from the ends of the window are counted.

The tiles must not be the images: with another --overlap than 0, or another size, their ends lie elsewhere. The tool
says how many of the tiles are an image nevertheless, such as the one in the corner.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='images of one size; they have to fill whole rows')
    parser.add_argument('--columns', type=int, default=8, metavar='N', help='images in a row (default: %(default)s)')
    add_tiles(parser)
    parser.add_argument('--score', type=float, default=0.3, help='lowest score of a detection (default: %(default)s)')
    parser.add_argument('--picture', metavar='FILE', help='also draw mosaic, detections, and ends of tiles')
    add_device(parser)
    add_cfg_options(parser, 'model.test_cfg.rcnn.max_per_img=300')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.tiled_mosaic import draw_mosaic, measure_tiles
    from mmdet_ir.apis import IRInferencer
    from mmdet_ir.apis.inference.tiles import parse_tile
    from mmdet_ir.fileio import refuse_overwriting
    from mmdet_ir.visualization.overlay import write_picture

    refuse_overwriting(args.picture, args.images, '--picture')
    tile = parse_tile(args.tile) if args.tile else None
    inferencer = IRInferencer(
        args.config, args.checkpoint, args.device, show_progress=False, cfg_options=args.cfg_options
    )
    measured = measure_tiles(inferencer, args.images, args.columns, tile, args.overlap, args.score)
    print(measured.table())
    height, width = measured.mosaic.shape[:2]
    whole, tiled = measured.seconds
    print(
        f'\nmosaic of {width}x{height} pixels; {len(measured.tiles)} tiles, of which {measured.equal} are an image of '
        f'it; {measured.near} references near the border of two images were left out\n'
        f'{whole:.1f} s for {len(args.images)} images as wholes, {tiled:.1f} s for the mosaic tile by tile'
    )
    if args.picture:
        write_picture(args.picture, draw_mosaic(measured, inferencer.classes, inferencer.colors))


if __name__ == '__main__':
    run_tool(main)
