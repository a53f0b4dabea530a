#!/usr/bin/env python
"""Scores tracks that tools/infer.py --track wrote: HOTA, IDF1, MOTA, identity switches, interruptions."""

import argparse
from pathlib import Path

from mmdet_ir.cli import run_tool, tool_parser

from terminaltables import AsciiTable

EXAMPLES = """examples:
  python tools/analysis/measure_tracks.py --found found/tracks/clip_mot.txt --truth clip_gt.txt
  python tools/analysis/measure_tracks.py --found found/tracks/IR_DRONE_00*_mot.txt --truth IR_DRONE_00*_LABELS.mat

The truth is MOT Challenge text, or a label file of Drone-detection-dataset, whose clips have one drone each. Files are
taken in the order in which they are given. Needs the package trackeval.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('--found', nargs='+', required=True, metavar='FILE', help='NAME_mot.txt of each video')
    parser.add_argument('--truth', nargs='+', required=True, metavar='FILE', help='known tracks of each video')
    parser.add_argument('--last', type=int, metavar='FRAME', help='compare the frames up to this one, from 1 on')
    args = parser.parse_args()
    if len(args.found) != len(args.truth):
        parser.error(f'expected as many files for --found as for --truth, got {len(args.found)} and {len(args.truth)}')
    return args


def main() -> None:
    args = parse_args()

    from mmdet_ir.datasets.converters.releases.drone_ir import read_boxes
    from mmdet_ir.evaluation.tracks import TRACK_COLUMNS, read_mot, score_tracks

    import numpy as np

    sequences = []
    for pair in zip(args.truth, args.found, strict=True):
        sides = []
        for truth, path in zip((True, False), map(Path, pair), strict=True):
            if path.suffix == '.mat':
                boxes = enumerate(read_boxes(path), start=1)
                tracks = {frame: (np.arange(len(found)), found) for frame, found in boxes if len(found)}
            else:
                tracks = read_mot(path, truth)
            sides.append({frame: one for frame, one in tracks.items() if args.last is None or frame <= args.last})
        sequences.append(tuple(sides))
    lines = [['', *TRACK_COLUMNS]]
    for name, row in zip([*(Path(path).name for path in args.found), 'all'], score_tracks(sequences), strict=True):
        lines.append([name, *(f'{value:.3f}' if isinstance(value, float) else str(value) for value in row.values())])
    print(AsciiTable(lines).table)


if __name__ == '__main__':
    run_tool(main)
