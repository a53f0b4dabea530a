#!/usr/bin/env python
"""Makes a trained model part of the package: config, weights in half precision, INT8 file, metafile and card."""

from mmdet_ir.cli import add_cfg_options, add_model, named_entries, run_tool, tool_parser

EXAMPLES = """example:
  python tools/deploy/publish.py configs/edge/mask_rcnn_lite0_real.py work_dirs/lite0/iter_6000.pth --name edge \\
      --exported edge_int8.onnx --scores "dev=work_dirs/lite0/dev/metrics_test.json" \\
      --cfg-options model.backbone.imagenet=False

The text of the card, mmdet_ir/model_zoo/NAME/README.md, is written by hand; tables of scores and files are renewed.
"""


def main() -> None:
    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument('--name', required=True, help='name of the model')
    parser.add_argument('--exported', metavar='FILE.onnx', help='INT8 file, as tools/deploy/quantize.py writes it')
    parser.add_argument(
        '--scores',
        nargs='+',
        required=True,
        metavar='TITLE=metrics_test.json',
        help='what tools/test.py wrote, and on which images',
    )
    add_cfg_options(parser, 'model.backbone.imagenet=False')
    args = parser.parse_args()

    from mmdet_ir.deploy.publish import publish_model

    scores = named_entries('--scores', args.scores, 'TITLE=FILE')
    folder = publish_model(
        args.name, args.config, args.checkpoint, scores, exported=args.exported, options=args.cfg_options
    )
    print(f'written: {folder}')


if __name__ == '__main__':
    run_tool(main)
