#!/usr/bin/env python
"""Renders the records of runs: the tables in Markdown files, between their marks, and as LaTeX and CSV."""

import argparse
import sys

from mmdet_ir.cli import run_tool, tool_parser

EPILOG = """What goes where:
  --readme  the single runs between <!-- results:begin --> and <!-- results:end -->; what each part gains between
            <!-- study:begin --> and <!-- study:end -->, if the file has these marks
  --docs    all tables between <!-- tables:begin --> and <!-- tables:end -->
  --tables  each table as TABLE_SIZE_DATA.tex (needs the package booktabs) and .csv (unrounded)
Records of your own experiments fill no table of the paper. Where a folder has no others, --docs and --tables get a
table of them for each data set (runs_DATA.tex and .csv), seeds of one title and config averaged.

Exit code: 0; with --check 1 if anything is out of date; 2 for records that cannot stand in one table.

examples:
  python tools/analysis/render_results.py results --readme README.md --paper mask_rcnn ours \\
      --docs docs/method/results.md --tables results/tables
  python tools/analysis/render_results.py work_dirs/records --readme NOTES.md --tables work_dirs/tables
"""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('results', help='folder of records, as record_run.py and reproduce.py write them')
    parser.add_argument('--readme', nargs='+', default=[], metavar='FILE', help='Markdown files with the single runs')
    parser.add_argument(
        '--paper', nargs='+', default=[], metavar='MODEL', help="add the paper's rows to --readme: mask_rcnn, ours"
    )
    parser.add_argument('--docs', nargs='+', default=[], metavar='FILE', help='Markdown files with all tables')
    parser.add_argument('--tables', metavar='FOLDER', help='folder of LaTeX and CSV files')
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 if anything is out of date')
    args = parser.parse_args()
    if not (args.readme or args.docs or args.tables):
        parser.error('expected --readme, --docs or --tables')
    return args


def main() -> None:
    args = parse_args()

    from mmdet_ir.experiments import single_runs
    from mmdet_ir.experiments.tables import (
        leftover_files,
        load_filled,
        load_records,
        update_docs,
        update_table_files,
        update_tables,
    )

    leftover = []
    stale = update_tables(args.results, args.readme, args.check, paper=args.paper)
    if args.docs or args.tables:
        filled, records = load_filled(args.results), load_records(args.results)
        if not records:
            raise ValueError(f'{args.results}: expected records of runs (record_run.py writes them), found none')
        for path in args.docs:
            stale += update_docs(filled, path, args.check, '' if filled else single_runs.render(records))
        if args.tables:
            if filled:
                stale += update_table_files(filled, args.tables, args.check)
            else:
                stale += single_runs.update(records, args.tables, args.check)
            own = {} if filled else single_runs.table_files(records, args.tables)
            leftover = [path for path in leftover_files(filled, args.tables) if path not in own]
        left_out = [record['file'] for record in records if 'size' not in record]
        if filled and left_out and not args.readme:
            print(
                f'{len(left_out)} single runs stand in --readme only, such as {left_out[0]}; compare.py compares them'
            )
    for path in stale:
        print(f'{path}: ' + ('out of date; run this tool without --check' if args.check else 'updated'))
    for path in leftover:
        print(f'{path}: belongs to no table; delete it')
    if args.check and (stale or leftover):
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
