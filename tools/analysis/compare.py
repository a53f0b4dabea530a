#!/usr/bin/env python
"""Compares experiments of your own: mean and deviation over seeds, gains with their standard errors, by class."""

import argparse

from mmdet_ir.cli import run_tool, split_entry, tool_parser

EPILOG = """\
examples:
  # two experiments of three seeds each; gains refer to the first that is named
  python tools/analysis/compare.py baseline=results/base_seed*.json ours=results/ours_seed*.json

  # what tools/test.py left beside its logs serves as well; all classes, for a paper
  python tools/analysis/compare.py A=work_dirs/a/20250101_120000/metrics_test.json \\
      B=work_dirs/b/20250101_130000/metrics_test.json --classes --tex table.tex --csv table.csv

A difference that is smaller than twice its standard error is called "no difference". Runs of equal seeds are compared
in pairs.
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument(
        'groups', nargs='+', metavar='NAME=FILE [FILE ...]', help='experiments: records, metrics files, or folders'
    )
    parser.add_argument('--classes', action='store_true', help='add the scores of each class')
    parser.add_argument(
        '--paper', nargs='+', default=[], metavar='MODEL', help="add the paper's rows, such as mask_rcnn ours"
    )
    parser.add_argument('--tex', metavar='FILE', help='write a LaTeX table (booktabs)')
    parser.add_argument('--csv', metavar='FILE', help='write all numbers without rounding')
    return parser.parse_args()


def grouped(arguments: list[str]) -> dict[str, list[str]]:
    """Files by name; those without a name belong to the name before them.

    Raises:
        ValueError: If the first file has no name, or a name occurs twice.
    """
    groups: dict[str, list[str]] = {}
    for argument in arguments:
        if '=' in argument:
            name, file = split_entry('experiments', argument)
            if name in groups:
                raise ValueError(f'experiments: expected each name once, got {name!r} twice')
            groups[name] = [file]
        elif groups:
            groups[next(reversed(groups))].append(argument)
        else:
            raise ValueError(f'experiments: expected NAME=FILE first, got {argument!r}')
    return groups


def main() -> None:
    args = parse_args()
    groups = grouped(args.groups)
    from mmdet_ir.experiments.comparison import as_csv, as_latex, as_markdown, compare, read_group
    from mmdet_ir.fileio import refuse_overwriting, write_text

    for option, file in (('--tex', args.tex), ('--csv', args.csv)):
        refuse_overwriting(file, (given for files in groups.values() for given in files), option)
    lines = compare({name: read_group(files) for name, files in groups.items()}, args.classes, args.paper)
    print(as_markdown(lines))
    for file, render in ((args.tex, as_latex), (args.csv, as_csv)):
        if file:
            write_text(file, render(lines))
            print(f'{file}: written')


if __name__ == '__main__':
    run_tool(main)
