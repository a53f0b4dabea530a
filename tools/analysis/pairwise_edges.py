#!/usr/bin/env python
"""Compares BoxInst's pairwise supervision, ours and the original's in LAB colours, with exact masks."""

from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser


def main() -> None:
    parser = tool_parser(
        __doc__, 'example: python tools/analysis/pairwise_edges.py data/synthetic   # needs scikit-image for LAB'
    )
    parser.add_argument('data_root', type=Path, help='COCO data set with exact masks')
    parser.add_argument('--images', type=int, default=200, help='(default: %(default)s)')
    parser.add_argument('--strides', type=int, nargs='+', default=[4, 2], help='of the masks (default: 4 2)')
    parser.add_argument('--gains', type=float, nargs='+', default=[1.0, 0.4, 2.0], help='factors of the contrast')
    parser.add_argument('--skip-lab', action='store_true', help='without the original, which needs scikit-image')
    args = parser.parse_args()

    from mmdet_ir.analysis.pairwise_edges import count_edges

    kinds = {'box contrast': {'type': 'InfraredBoxInstDataPreprocessor'}}
    if not args.skip_lab:
        kinds['LAB'] = {'type': 'BoxInstDataPreprocessor', 'bottom_pixels_removed': 0}
    print('stride  gain  similarity    same label  selected  precision  recall')
    for stride in args.strides:
        for gain in args.gains:
            for kind, config in kinds.items():
                settings = {'mean': [0.0] * 3, 'std': [1.0] * 3, 'pad_size_divisor': 32, 'mask_stride': stride}
                c = count_edges({**config, **settings}, args.data_root, args.images, gain)
                print(
                    f'{stride:6}  {gain:4}  {kind:12}  {c.same / c.pairs:10.3f}  {c.selected / c.pairs:8.3f}'
                    f'  {c.precision:9.3f}  {c.recall:6.3f}',
                    flush=True,
                )


if __name__ == '__main__':
    run_tool(main)
