#!/usr/bin/env python
"""Plots what each part gains in mAP, in the paper and here, with error bars over seeds, from the records of runs."""

from mmdet_ir.cli import run_tool, tool_parser

EXAMPLES = """examples:
  python tools/analysis/plot_gains.py results --size study --data real --out gains.pdf
  python tools/analysis/plot_gains.py results --size cpu --data synthetic --tables parts table1 --out gains.png
"""


def main() -> None:
    parser = tool_parser(__doc__, EXAMPLES)
    parser.add_argument('results', help='folder of records, as reproduce.py writes them')
    parser.add_argument('--size', default='paper', help='size of the records (default: %(default)s)')
    parser.add_argument('--data', required=True, metavar='NAME', help='data set of the records')
    parser.add_argument('--tables', nargs='+', metavar='TABLE', help='default: all with a run')
    parser.add_argument('--out', required=True, help='figure to write, .png, .pdf, .svg or .jpg')
    args = parser.parse_args()

    from mmdet_ir.analysis.gains_figure import plot_gains
    from mmdet_ir.experiments.cells import load_tables
    from mmdet_ir.experiments.tables import load_filled

    tables = load_tables()
    if unknown := sorted(set(args.tables or ()) - set(tables)):
        raise ValueError(f'--tables: expected some of {", ".join(tables)}, got {", ".join(unknown)}')
    filled = load_filled(args.results, [tables[name] for name in args.tables or tables])
    chosen = [table for table in filled if (table.size, table.data) == (args.size, args.data)]
    if not chosen:
        there = ', '.join(dict.fromkeys(f'{table.size} on {table.data}' for table in filled)) or 'none'
        raise ValueError(f'{args.results}: expected records of the size {args.size} on {args.data}, found {there}')
    plot_gains(chosen, tables.values(), args.out)
    print(f'written: {args.out}')


if __name__ == '__main__':
    run_tool(main)
