#!/usr/bin/env python
"""Runs every cell of the paper's tables and figures that has no record yet, and keeps the records."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mmdet_ir.cli import run_tool, tool_parser

if TYPE_CHECKING:
    from mmdet_ir.experiments.jobs import Job, Launcher
    from mmdet_ir.experiments.reproduce import Plan

WORK_DIR, RESULTS = Path('work_dirs/reproduce'), Path('results')  # in the repository
EPILOG = """what happens
  A cell is one config. It is trained by tools/train.py (or dist_train.sh, slurm_train.sh) and tested by tools/test.py,
  and leaves one record in results/SIZE/DATA/. A cell with a record is skipped, an interrupted one goes on from its
  last checkpoint, a failed one is reported at the end and does not stop the others. Stop it at any moment; start it
  again with the same command. Then render the tables:
  python tools/analysis/render_results.py results --readme README.md --paper mask_rcnn ours \\
      --docs docs/method/results.md

sizes
  paper    the cells as they are: R50, 640x512, 100 epochs, from COCO weights; your data in data/ir
  cpu      the same cells on a small base, from weights learned on synthetic scenes; minutes a cell on a CPU
  study    as cpu, as protocol.yaml fixed it: 2,000 steps, from results/starts; 13 minutes a cell on a CPU
  scratch  the models of Table 4, small and all from random weights, on the real set; half an hour a cell on a CPU

examples
  python tools/reproduce.py --size cpu --dry-run
  python tools/reproduce.py --size cpu --table 1 2 3 --data real --jobs 2
  python tools/reproduce.py --size study --table parts --seeds 0 1 2
  python tools/reproduce.py --size scratch --table 4 --jobs 2
  python tools/reproduce.py --table 1 2 3 4 --seeds 0 1 2 --gpus 4             # four runs at a time, one GPU each
  python tools/reproduce.py --table 4 --gpus 4 --gpus-per-run 2                # two runs at a time
  python tools/reproduce.py --table 4 --sbatch work_dirs/batch --time 2-00:00:00 --account lab --gpus-per-run 2
  python tools/reproduce.py --table 1 2 3 --data ships=data/ships --gpus 4     # your own classes, the paper's recipe
  python tools/reproduce.py --table 1 2 3 --slurm gpu --gpus-per-run 2 --jobs 8
"""


def parse_args() -> argparse.Namespace:
    from mmdet_ir.experiments.cells import load_figures, load_sizes, load_tables

    parser = tool_parser(__doc__, EPILOG)
    tables = [name.removeprefix('table') for name in load_tables() if name != 'fig9']
    parser.add_argument(
        '--table',
        nargs='+',
        default=[],
        metavar='T',
        choices=tables,
        help=f'tables: {", ".join(tables)} (default: all, unless --fig is given)',
    )
    figures = [name.removeprefix('fig') for name in load_figures()]
    parser.add_argument(
        '--fig', nargs='+', default=[], metavar='F', choices=figures, help=f'figures: {", ".join(figures)}'
    )
    parser.add_argument(
        '--rows', nargs='+', default=[], metavar='ROW', help='of these tables only some rows: none ours'
    )
    parser.add_argument('--size', choices=tuple(load_sizes()), default='paper', help='default: %(default)s')
    parser.add_argument(
        '--data',
        nargs='+',
        default=[],
        metavar='D',
        help='data sets of the size (default: all), or '
        'your own as NAME=FOLDER, with annotations/train.json, annotations/val.json and images/',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], metavar='S', help='default: 0')
    parser.add_argument(
        '--seeds-for',
        nargs='+',
        default=[],
        metavar='ROW',
        help='rows that get all seeds, such as none ours; others get the first one only (default: all rows)',
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--gpus', type=int, metavar='N', help='fill N GPUs of this machine')
    where.add_argument('--slurm', metavar='PARTITION', help='hand the runs to Slurm')
    where.add_argument(
        '--sbatch', type=Path, metavar='FOLDER', help='write batch files for Slurm into FOLDER, and start nothing'
    )
    parser.add_argument('--gpus-per-run', type=int, default=1, metavar='K', help='GPUs of one run (default: 1)')
    parser.add_argument('--jobs', type=int, metavar='N', help='runs at a time without --gpus (default: 1; Slurm: 16)')
    batch = parser.add_argument_group('batch files (--sbatch)')
    batch.add_argument('--time', default='24:00:00', help='limit of a run (default: %(default)s)')
    batch.add_argument('--account', help='account to be charged')
    batch.add_argument('--partition', help='partition')
    parser.add_argument('--only', metavar='NAME', help=argparse.SUPPRESS)  # the run of a batch file
    parser.add_argument('--work-dir', type=Path, help=f'default: {WORK_DIR}')
    parser.add_argument('--results', type=Path, help=f'folder of records (default: {RESULTS})')
    parser.add_argument('--dry-run', action='store_true', help='list the runs and their commands, and start nothing')
    args = parser.parse_args()
    if args.gpus is not None and (args.gpus < 1 or args.gpus % args.gpus_per_run):
        parser.error(f'--gpus: expected a multiple of --gpus-per-run, got {args.gpus} and {args.gpus_per_run}')
    if args.gpus is not None and args.jobs is not None:
        parser.error('--jobs: follows from --gpus and --gpus-per-run')
    return args


def slots(args: argparse.Namespace) -> list[str | None]:
    """One entry for each run at a time."""
    if args.gpus is None:
        return [None] * (args.jobs or (16 if args.slurm else 1))
    k = args.gpus_per_run
    return [','.join(map(str, range(i, i + k))) for i in range(0, args.gpus, k)]


def own_notes(jobs: list[Job]) -> list[str]:
    """What the user's own data change; for models with other anchors the numbers can be others."""
    firsts = {job.data.name: job for job in reversed(jobs) if job.data.folder is not None}
    return [f'{name}, {Path(job.row.config).stem}: {note}' for name, job in firsts.items() for note in job.notes()]


def list_runs(plan: Plan, launcher: Launcher) -> None:
    from mmdet_ir.experiments.jobs import JobError, first_of, missing_data

    for data in plan.data_sets():
        first = first_of(data, plan.root)
        if first is not None and not (first[0] / first[1]).is_file():
            print(f'first: {data.first} -> {first[0] / first[1]}')
            break
    jobs, done = plan.jobs(), 0
    for note in own_notes(jobs):
        print(note)
    for number, job in enumerate(jobs, start=1):
        try:
            state = 'recorded' if job.is_done() else 'to do'
        except JobError as error:
            state = f'PROBLEM: {error}'
        missing = [] if state == 'recorded' else missing_data(job.config())
        done += state == 'recorded'
        print(f'\n[{number}/{len(jobs)}] {job.label}: {state}{", NO DATA: " + ", ".join(missing) if missing else ""}')
        print(f'  cell    {job.row.config}')
        print(f'  train   {shlex.join(job.train_command(launcher))}')
        print(f'  test    {shlex.join(job.test_command(launcher, f"{job.work_dir}/<last checkpoint>"))}')
        print(f'  record  {job.record}')
    print(f'\n{len(jobs)} runs, {done} recorded, {len(jobs) - done} to do')


def go_to_repository(args: argparse.Namespace) -> None:
    """Cells, their starting weights and the tools are named from the repository's root; what the user gave stays.

    Raises:
        FileNotFoundError: If the tool does not lie in a clone.
    """
    root, here = Path(__file__).resolve().parents[1], Path.cwd()
    if here == root:
        return
    if not (root / 'setup.py').is_file():
        raise FileNotFoundError(f'{root}: expected a clone of the repository, whose cells and records this tool reads')
    for name in ('work_dir', 'results', 'sbatch'):
        if getattr(args, name) is not None:
            setattr(args, name, here / getattr(args, name))
    args.data = [_from(here, entry) for entry in args.data]
    os.chdir(root)
    sys.stderr.write(f'started elsewhere: works in {root}; outputs that were not named go there\n')


def _from(here: Path, entry: str) -> str:
    name, equals, folder = entry.partition('=')
    return f'{name}={here / folder}' if equals else entry


def say(line: str) -> None:
    sys.stdout.write(f'{time.strftime("%H:%M:%S")}  {line}\n')  # whole lines, from several threads
    sys.stdout.flush()


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    args = parse_args()

    go_to_repository(args)

    from mmdet_ir.experiments.batch_files import job_name
    from mmdet_ir.experiments.cells import load_tables
    from mmdet_ir.experiments.jobs import JobError, Launcher
    from mmdet_ir.experiments.reproduce import Plan, Reproduction

    plan = Plan(
        size=args.size,
        tables=[name if name in load_tables() else f'table{name}' for name in args.table],
        figures=[f'fig{name}' for name in args.fig],
        rows=args.rows,
        data=args.data,
        seeds=args.seeds,
        seeds_for=args.seeds_for,
        root=args.work_dir or WORK_DIR,
        results=args.results or RESULTS,
    )
    launcher = Launcher(args.gpus_per_run, args.slurm)
    if args.sbatch is not None:
        from mmdet_ir.experiments.batch_files import BatchSettings, write_batch_files

        settings = BatchSettings(args.time, args.gpus_per_run, args.account, args.partition)
        print('\n'.join(write_batch_files(plan, args.sbatch, settings)))
        return
    if args.dry_run:
        list_runs(plan, launcher)
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        jobs = [job for job in plan.jobs() if args.only in (None, job_name(job))]
        for note in own_notes(jobs):
            say(note)
        outcome = Reproduction(jobs, launcher, slots(args), say).run()
    except KeyboardInterrupt:
        say('stopped; the same command goes on from here')
        sys.exit(130)
    except JobError as error:  # what all runs start from
        say(f'FAILED {error}')
        sys.exit(1)
    say(
        f'{len(outcome.done)} done now, {len(outcome.skipped)} were recorded, {len(outcome.no_data)} without data, '
        f'{len(outcome.failed)} failed'
    )
    for label, reason in outcome.failed.items():
        print(f'  FAILED {label}: {reason}')
    for label, reason in outcome.no_data.items():
        print(f'  no data {label}: {reason}')
    if outcome.failed:
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
