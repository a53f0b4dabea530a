"""Batch files for Slurm: one for each training and one for its test, to be looked at and handed in by the user."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.types import type_name
from ..fileio import write_text
from ..model_zoo import model_names
from .jobs import Job, Launcher, first_of, missing_data, write_config
from .reproduce import Plan

_TIME = re.compile(r'(\d+-)?\d+(:\d\d){1,2}|\d+')
_STATES = {'SGD': 1, 'Adam': 2, 'AdamW': 2}  # tensors that an optimiser keeps for each parameter

# The job's shell takes the signal and hands it on; a training that ends with 75 goes back into the queue.
_TEMPLATE = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --output={log}
#SBATCH --open-mode=append
#SBATCH --time={time}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gres=gpu:{gpus}
{options}
cd {folder} || exit 2
echo "$(date) job $SLURM_JOB_ID on $(hostname), started $((${{SLURM_RESTART_COUNT:-0}} + 1)) times"
nvidia-smi -L || true
{python} -m pip freeze || true
{command} &
JOB=$!
trap 'SIGNALLED=1; kill -USR1 "$JOB"' USR1
trap 'SIGNALLED=1; kill -TERM "$JOB"' TERM
while
    SIGNALLED=0 CODE=0
    wait "$JOB" || CODE=$?
    [ "$SIGNALLED" = 1 ] # a signal ended the waiting, not the job
do :; done
{after}exit "$CODE"
"""
_REQUEUE = """if [ "$CODE" = 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
"""


@dataclass(frozen=True)
class BatchSettings:
    """What all batch files say.

    Attributes:
        time: Limit of a training, as Slurm writes it.
        gpus: Of a run.
        account: To be charged; ``None`` for the user's default.
        partition: Where to run; ``None`` for the default.
        signal: Seconds before the limit at which a training is asked to stop.
    """

    time: str = '24:00:00'
    gpus: int = 1
    account: str | None = None
    partition: str | None = None
    signal: int = 300

    def __post_init__(self) -> None:
        if not _TIME.fullmatch(self.time):
            raise ValueError(f'--time: expected a limit such as 12:00:00 or 2-00:00:00, got {self.time!r}')

    @property
    def hours(self) -> float:
        """The limit in hours."""
        days, _, rest = self.time.rpartition('-')
        parts = [int(part) for part in rest.split(':')]
        if days:
            parts += [0] * (3 - len(parts))
        elif len(parts) < 3:  # minutes, or minutes and seconds
            parts = [0, *parts, 0][:3]
        return int(days or 0) * 24 + parts[0] + parts[1] / 60 + parts[2] / 3600


def batch_text(name: str, command: Sequence[str], log: Path, settings: BatchSettings, requeue: bool) -> str:
    """A batch file.

    Args:
        name: Of the job.
        command: What it runs, in the current folder.
        log: Its output.
        settings: What all batch files say.
        requeue: Whether the job is asked to stop before its limit, and goes back into the queue then.
    """
    options = [f'#SBATCH --{key}={value}' for key in ('account', 'partition') if (value := getattr(settings, key))]
    if requeue:
        options += ['#SBATCH --requeue', f'#SBATCH --signal=B:USR1@{settings.signal}']
    return _TEMPLATE.format(
        name=name,
        log=log,
        time=settings.time,
        gpus=settings.gpus,
        options='\n'.join(options),
        folder=shlex.quote(os.getcwd()),
        python=shlex.quote(sys.executable),
        command=shlex.join(command),
        after=_REQUEUE if requeue else '',
    )


def job_name(job: Job) -> str:
    """A name for Slurm that tells cell, size, data and seed."""
    return f'{job.name.replace("/", "-")}-seed{job.seed}'


def write_batch_files(plan: Plan, folder: Path, settings: BatchSettings) -> list[str]:
    """Writes ``NAME.train.sh`` and ``NAME.test.sh`` for each run without a record, and ``submit.sh`` for all.

    Args:
        plan: What is asked for.
        folder: Takes the files.
        settings: What all batch files say.

    Returns:
        Lines for the user: what was written, what is missing, how many GPU hours and how much disk it takes at most.

    Raises:
        FileNotFoundError: If data or weights that runs start from are missing; nothing is written then.
        ValueError: If there is nothing to run.
    """
    jobs = [job for job in plan.jobs() if not job.is_done()]
    if not jobs:
        raise ValueError('--sbatch: expected runs without a record, got none: all of them are recorded')
    absent, urls = _missing(jobs, plan)
    if absent:
        raise FileNotFoundError(f'--sbatch: nothing was written, because these are missing: {"; ".join(absent)}')
    launcher, submit = Launcher(settings.gpus), []
    for job in jobs:
        name = job_name(job)
        write_config(job)
        log = job.work_dir / 'slurm-%j.txt'
        job.work_dir.mkdir(parents=True, exist_ok=True)
        train = batch_text(name, job.train_command(launcher), log.absolute(), settings, requeue=True)
        test = batch_text(
            f'{name}-test', _record_command(job, plan, settings), log.absolute(), settings, requeue=False
        )
        write_text(folder / f'{name}.train.sh', train)
        write_text(folder / f'{name}.test.sh', test)
        submit += [f'ID=$(sbatch --parsable {name}.train.sh)']
        submit += [f'sbatch --dependency=afterok:"${{ID%%;*}}" {name}.test.sh']
    head = ['#!/bin/bash', '# Hands in all runs; each test waits for its training.', 'set -e', 'cd "$(dirname "$0")"']
    write_text(folder / 'submit.sh', '\n'.join([*head, *submit, '']))
    hours = len(jobs) * settings.gpus * settings.hours
    lines = [
        f'{folder}: {len(jobs)} trainings, each with its test; {plan_size(plan)}',
        f'at most {hours:g} GPU hours ({len(jobs)} runs x {settings.gpus} GPUs x {settings.time}), and the tests',
        f'about {len(jobs) * _disk(jobs[0]) / 1e9:.1f} GB of checkpoints in {plan.root}',
    ]
    if urls:
        lines.append(f'weights to fetch before, if the nodes have no network: {", ".join(sorted(urls))}')
    return [*lines, f'next: bash {shlex.quote(str(folder / "submit.sh"))}']


def plan_size(plan: Plan) -> str:
    """Size and data sets in words."""
    return f'size {plan.size}, data {", ".join(data.name for data in plan.data_sets())}'


def _record_command(job: Job, plan: Plan, settings: BatchSettings) -> list[str]:
    """Tests and records one run: ``tools/reproduce.py`` finds its training finished."""
    command = [sys.executable, 'tools/reproduce.py', '--size', plan.size, '--data', job.data.option]
    command += ['--only', job_name(job), '--seeds', str(job.seed), '--gpus-per-run', str(settings.gpus)]
    for option, names in (('--table', plan.tables), ('--fig', plan.figures)):
        command += [option, *(name.removeprefix('table').removeprefix('fig') for name in names)] if names else []
    return [*command, '--work-dir', str(plan.root), '--results', str(plan.results)]


def _missing(jobs: Sequence[Job], plan: Plan) -> tuple[list[str], set[str]]:
    """What is not on the disk: files without which runs fail, and weights with a URL that are not in torch's cache."""
    absent, urls = [], set()
    cache = Path(os.environ.get('TORCH_HOME', Path.home() / '.cache/torch'), 'hub', 'checkpoints')
    for data in plan.data_sets():
        first = first_of(data, plan.root)
        if first is not None and not (first[0] / first[1]).is_file():
            absent.append(f'{first[0] / first[1]}, which all runs start from (train {data.first} first)')
    for job in jobs:
        config = job.config()
        absent += missing_data(config)
        weights = [config.get('load_from'), *_initial(config.model)]
        for name in filter(None, weights):
            if '://' in name and not (cache / Path(name).name).is_file():
                urls.add(name)
            elif '://' in name or job.data.first is not None:
                continue
            elif not Path(name).is_file() and name not in model_names():
                absent.append(f'{name}, which {job.label} starts from')
    return list(dict.fromkeys(absent)), urls


def _initial(value: object) -> list[str]:
    """URLs of pretrained parts of a model."""
    if isinstance(value, dict):
        own = value.get('checkpoint') if value.get('type') == 'Pretrained' else None
        return [own] * bool(own and '://' in own) + [url for part in value.values() for url in _initial(part)]
    return [url for part in value for url in _initial(part)] if isinstance(value, list | tuple) else []


def _disk(job: Job) -> float:
    """Bytes of the checkpoints of a run: weights and states of the optimiser, as many as are kept, and the best."""
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    config = job.config()
    init_default_scope('mmdet')
    model = MODELS.build(config.model)
    size = 4 * sum(parameter.numel() for parameter in model.parameters())
    saving = (config.get('default_hooks') or {}).get('checkpoint') or {}
    kept = max(saving.get('max_keep_ckpts', 1), 1)
    states = 1 + _STATES.get(type_name(config.optim_wrapper.optimizer), 2)
    return size * (states * (kept + 1) + bool(saving.get('save_best')))
