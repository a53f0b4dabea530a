#!/usr/bin/env python
"""Reports every problem of COCO files and their images, with file, entry and remedy; repairs what is certain."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmdet_ir.cli import add_cfg_options, add_image_key, run_tool, tool_parser
from mmdet_ir.cli.choices import CLASSES
from mmdet_ir.fileio import read_json, write_text

if TYPE_CHECKING:
    from mmdet_ir.datasets.validation.data_sets import DataSet
    from mmdet_ir.datasets.validation.problem import Problem

EPILOG = """Exit code: 0 without problems or with notes only, 1 with warnings, 2 with errors (or a wrong command line).

examples:
  python tools/data/validate.py data/ir/annotations/train.json data/ir/annotations/val.json
  python tools/data/validate.py configs/ir/mask_rcnn.py --out report.json
  python tools/data/validate.py export.json --images pictures/ --classes ship buoy --fix repaired.json
"""


def parse_args() -> argparse.Namespace:

    parser = tool_parser(__doc__, EPILOG)
    parser.add_argument('targets', nargs='+', metavar='TARGET', help='COCO files (.json), or a config (.py)')
    parser.add_argument(
        '--images',
        metavar='FOLDER',
        help='where the images of COCO files are (default: images/ beside the file or its folder, else that folder)',
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        default=list(CLASSES),
        metavar='NAME',
        help='class names that COCO files should have, in the order of the labels (default: %(default)s)',
    )
    add_image_key(parser)
    parser.add_argument('--no-images', action='store_true', help='do not open image files: seconds instead of minutes')
    parser.add_argument('--out', metavar='JSON', help='also write the report with all entries as JSON')
    parser.add_argument(
        '--fix',
        metavar='OUT',
        help='write a repaired copy where the repair is certain: a file for '
        'one COCO file, a folder for several; what exists is never overwritten',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def collect(args: argparse.Namespace) -> list[DataSet]:
    from mmdet_ir.apis.launch import load_config
    from mmdet_ir.datasets.validation.data_sets import from_config, from_file

    data_sets = []
    for target in args.targets:
        if target.endswith('.py'):
            data_sets += from_config(load_config(target, args.cfg_options))
        else:
            data_sets.append(from_file(target, args.classes, args.images, args.image_key))
    return data_sets


def outputs(data_sets: list[DataSet], fix: str) -> list[Path]:
    """Where the repaired copies go."""
    out = Path(fix)
    paths = [out] if len(data_sets) == 1 and out.suffix == '.json' else [out / d.path.name for d in data_sets]
    for path in paths:
        if path.exists():
            raise ValueError(f'--fix: expected a file that does not exist yet, got {path}')
        if paths.count(path) > 1:
            raise ValueError(f'--fix: expected files of different names, got {path.name} more than once')
    return paths


def left(problems: list[Problem]) -> list[str]:
    """What is left for a person."""
    return [f'  left: {p.severity} {p.code}: {p.text}' for p in problems if p.severity != 'note']


def main() -> None:
    args = parse_args()

    from mmdet_ir.datasets.coco_files import write_coco
    from mmdet_ir.datasets.validation.data_sets import DataSet
    from mmdet_ir.datasets.validation.repairs.repair import repair
    from mmdet_ir.datasets.validation.report import as_json, as_text, check_between, check_data_set, worst

    data_sets = collect(args)
    read = {Path(path).resolve() for path in [*args.targets, *(d.path for d in data_sets)]}
    if args.out and Path(args.out).resolve() in read:
        raise ValueError(f'--out: {args.out} is one of the inputs; expected another file for the report')
    fixed = outputs(data_sets, args.fix) if args.fix else []
    checked = [check_data_set(d, not args.no_images, progress=sys.stderr.isatty()) for d in data_sets]
    between = check_between(checked)
    unseen = ' (image files were not opened)' if args.no_images else ''
    print(as_text(checked, between))
    if args.out:
        write_text(args.out, as_json(checked, between))
    again = []
    for d, result, path in zip(data_sets, checked, fixed, strict=args.fix is not None):
        if any(
            p.code in ('file-missing', 'file-unreadable', 'section-missing', 'section-empty') for p in result.problems
        ):
            print(f'{d.path}: cannot be repaired')
            continue
        coco, done = repair(read_json(d.path), d.needs.classes, d.needs.folder, d.needs.image_key, d.needs.settings)
        write_coco(coco, path)
        print(f'{path}: repaired copy of {d.path}')
        print('\n'.join(f'  {line}' for line in done) or '  nothing to repair')
        again.append(check_data_set(DataSet(path, d.needs, d.splits, d.problems), not args.no_images))
        print('\n'.join(left(again[-1].problems)) or f'  no errors or warnings are left{unseen}')
    if lines := left(check_between(again)):
        print('\n'.join(['the repaired copies together:', *lines]))
    sys.exit(worst(checked, between))


if __name__ == '__main__':
    run_tool(main)
