#!/usr/bin/env python
"""Scores a model under corruptions of infrared images at five severities, and lays several models side by side."""

from mmdet_ir.cli import add_cfg_options, add_device, add_model, named_entries, run_tool, tool_parser
from mmdet_ir.fileio import read_json

EXAMPLES = """examples:
  python tools/analysis/robustness.py run CONFIG CHECKPOINT --out robustness.json     # goes on where it was stopped
  python tools/analysis/robustness.py run edge --out edge.json --severities 3 \\
      --cfg-options test_dataloader.dataset.indices=100
  python tools/analysis/robustness.py table baseline=robustness.json edge=edge.json
"""


def main() -> None:
    from mmdet_ir.analysis.robustness import CORRUPTIONS, SEVERITIES

    parser = tool_parser(__doc__, EXAMPLES)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser('run', help='score one model')
    add_model(run)
    run.add_argument('--out', required=True, metavar='FILE.json', help='scores; written after each of them')
    run.add_argument('--corruptions', nargs='+', choices=CORRUPTIONS, default=list(CORRUPTIONS), help='default: all')
    run.add_argument(
        '--severities', nargs='+', type=int, choices=SEVERITIES, default=list(SEVERITIES), help='default: all'
    )
    add_device(run)
    add_cfg_options(run, 'test_dataloader.dataset.indices=100')
    table = commands.add_parser('table', help='a Markdown table of several models')
    table.add_argument('files', nargs='+', metavar='NAME=FILE.json', help='what "run" wrote')
    args = parser.parse_args()

    from mmdet_ir.analysis.robustness import measure_robustness, robustness_table

    if args.command == 'run':
        options = {name: getattr(args, name) for name in ('corruptions', 'severities', 'device', 'cfg_options')}
        records = {'mask AP': measure_robustness(args.config, args.checkpoint, args.out, **options)}
    else:
        records = {name: read_json(file) for name, file in named_entries('files', args.files).items()}
    print(robustness_table(records))


if __name__ == '__main__':
    run_tool(main)
