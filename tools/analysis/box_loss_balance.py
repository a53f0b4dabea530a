#!/usr/bin/env python
"""Measures which `loss_weight` gives an IoU-type box loss the gradient of SmoothL1 at the start of fine-tuning.

The RoI head's regression layer is new when fine-tuning starts (the classes differ), so its deltas are near zero and a
positive RoI stands where the proposal stands. Positive RoIs are made from a data set's boxes: shifted and scaled at
random, kept if their IoU with the target is at least 0.5, the assigner's threshold. Printed is each loss's mean
gradient norm with respect to the four deltas of a RoI, and the weight that makes it SmoothL1's.
"""

from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser


def main() -> None:
    parser = tool_parser(
        __doc__, 'example: python tools/analysis/box_loss_balance.py data/real/annotations/train.json'
    )
    parser.add_argument('annotations', type=Path, help='COCO file whose boxes are the targets')
    parser.add_argument('--rois', type=int, default=4000, help='how many RoIs to draw (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()

    from mmdet_ir.analysis.box_loss_balance import gradient_norm, positive_rois

    rois, targets = positive_rois(args.annotations, args.rois, args.seed)
    reference = gradient_norm({'type': 'SmoothL1Loss'}, rois, targets)
    print(f'{"loss":14}  gamma  gradient norm  loss_weight to equal SmoothL1')
    print(f'{"SmoothL1Loss":14}      -  {reference:13.4f}                             1.0')
    for name in ('FocalCIoULoss', 'FocalEIoULoss', 'FocalSIoULoss'):
        for gamma in (0.0, 0.5):
            norm = gradient_norm({'type': name, 'gamma': gamma}, rois, targets)
            print(f'{name:14}  {gamma:5.2f}  {norm:13.4f}  {reference / norm:30.1f}')


if __name__ == '__main__':
    run_tool(main)
