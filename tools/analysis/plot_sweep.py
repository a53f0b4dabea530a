#!/usr/bin/env python
"""Plots recall and all mAPs over a setting, such as the focal exponent, from the records of runs."""

import argparse

from mmdet_ir.cli import run_tool, split_entry, tool_parser

EXAMPLES = """examples:
  the paper's Fig. 9, two seeds at 0.5, and 1 not run:
    python tools/analysis/plot_sweep.py g0_seed0.json=0 g05_seed0.json=0.5 g05_seed1.json=0.5 \\
        --values 0 0.5 1 --paper-best 0.5 --out fig9.pdf
  another setting:
    python tools/analysis/plot_sweep.py weight1.json=1 weight10.json=10 --xlabel 'weight of the box loss' --out w.png
"""


def parse_entry(text: str) -> tuple[str, float]:
    """``'record.json=0.5'`` to its parts."""
    form = 'RECORD.json=NUMBER'
    path, value = split_entry('records', text, form, last=True)
    try:
        return path, float(value)
    except ValueError as error:
        raise ValueError(f'records: expected {form}, got {text!r}') from error


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument(
        'records', nargs='+', metavar='RECORD=VALUE', help="a run's record, as record_run.py writes it, and its value"
    )
    parser.add_argument('--out', required=True, help='figure to write, .png, .pdf, .svg or .jpg')
    parser.add_argument('--xlabel', default=r'focal exponent $\gamma$', help='name of the setting')
    parser.add_argument('--values', type=float, nargs='+', default=[], help='the whole sweep; the rest is "not run"')
    parser.add_argument('--paper-best', type=float, help='value to mark as the best of the paper')
    parser.add_argument('--metric', choices=('segm', 'bbox'), default='segm', help='masks (default) or boxes')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet_ir.analysis.sweep import plot_sweep, read_sweep, summarise

    points = read_sweep([parse_entry(text) for text in args.records], args.metric)
    plot_sweep(points, args.out, args.xlabel, args.paper_best, args.values)
    for value in sorted({*points, *args.values}):
        count, mean, spread = summarise([run['mAP'] for run in points.get(value, [])])
        text = f'n={count}  mAP {100 * mean:.3f}' if count else 'not run'
        print(f'{value:g}  {text}' + ('' if spread is None else f' ± {100 * spread:.3f}'))
    print(args.out)


if __name__ == '__main__':
    run_tool(main)
