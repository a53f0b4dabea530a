#!/usr/bin/env python
"""A page in the browser for a trained model: upload an infrared image, see what is found, download JSON and CSV."""

import argparse
import os

# OpenCV reads its limit when it is imported. The same as mmdet_ir.apis.demo.uploads.MAX_PIXELS, which looks first.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', '9000000')

from mmdet_ir.cli import add_cfg_options, add_device, add_model, run_tool, tool_parser

EXAMPLES = """examples (MODEL stands for a config and its checkpoint):
  python tools/app.py MODEL                                # http://127.0.0.1:7860, for this machine only
  python tools/app.py MODEL --port 8080 --device cuda:1
  python tools/app.py MODEL --host 0.0.0.0                 # for everybody in the network: there is no password

The page needs Gradio: pip install "gradio>=6.31,<7". It works without a network, and reports nothing to anybody.
Ctrl-C ends it and deletes what was uploaded. See docs/guide/infer.md.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    add_model(parser)
    parser.add_argument('--port', type=int, default=7860, help='port to listen on (default: %(default)s)')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on (default: %(default)s)')
    parser.add_argument(
        '--share',
        choices=('never', 'public'),
        default='never',
        help="public: Gradio's servers hand the page on to the internet, images included (default: %(default)s)",
    )
    add_device(parser)
    add_cfg_options(parser, 'model.test_cfg.rcnn.max_per_img=300')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.apis.demo.server import serve

    serve(
        args.config,
        args.checkpoint,
        host=args.host,
        port=args.port,
        share=args.share == 'public',
        device=args.device,
        cfg_options=args.cfg_options,
        on_start=lambda address: print(f'{address} is open; Ctrl-C ends it', flush=True),
    )


if __name__ == '__main__':
    run_tool(main)
