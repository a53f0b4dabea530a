#!/usr/bin/env python
"""Adapts a trained model to recordings without labels: BatchNorm statistics are estimated anew on their images."""

from mmdet_ir.cli import add_cfg_options, add_device, add_model, run_tool, tool_parser

EXAMPLES = """examples (MODEL stands for a config and its checkpoint, or for a name):
  python tools/adapt.py MODEL recordings/night --out night.pth
  python tools/adapt.py MODEL clip.mp4 --out clip.pth --keep 0.5      # few images: keep half of what was trained
Then go on with the same config and the new checkpoint.
"""


def main() -> None:
    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='image, folder, video or quoted glob')
    parser.add_argument('--out', required=True, metavar='FILE.pth', help='checkpoint to write')
    parser.add_argument('--number', type=int, default=256, help='images to use, at most (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=8, help='images of one size together (default: %(default)s)')
    parser.add_argument(
        '--keep', type=float, default=0.0, help='share of the trained statistics that stays (default: %(default)s)'
    )
    add_device(parser)
    add_cfg_options(parser)
    args = parser.parse_args()

    from mmdet_ir.apis.adapt import adapt

    options = {name: getattr(args, name) for name in ('number', 'batch_size', 'keep', 'device', 'cfg_options')}
    done = adapt(args.config, args.checkpoint, args.inputs, args.out, **options)
    print(f'written: {args.out} ({done["layers"]} layers, {done["images"]} images, {len(done["skipped"])} skipped)')
    if done['skipped']:
        print(f'skipped: {len(done["skipped"])}, the first: {done["skipped"][0]}')


if __name__ == '__main__':
    run_tool(main)
