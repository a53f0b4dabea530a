"""Kills trainings at chosen kinds of moments, lets them go on, and compares their end with a training left alone."""

import multiprocessing
import os
import random
import re
import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from ..apis import launch  # noqa: F401  (read once, for all processes that are started)
from ..compat.checkpoint import read_header
from ..datasets.synthetic import synthesize
from ..engine import EX_TEMPFAIL, find_whole_checkpoint
from ..markdown import markdown_table

REPO = Path(__file__).parents[2]
POLL_SECONDS = {'checkpoint': 0.001}  # it is written in a fraction of a second; else 0.01
LEARNED = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')

CONFIG = """\
\"\"\"The full method at a size for seconds, with all that has a state: averaged weights, moments, schedules.\"\"\"

_base_ = [
    '{repo}/configs/_base_/models/mask_rcnn_small_bnsa_focalsiou_mbcedicels.py',
    '{repo}/configs/_base_/datasets/synthetic.py',
    '{repo}/configs/_base_/default_runtime.py',
]
model = dict(backbone=dict(base_channels=16, stem_channels=16), neck=dict(in_channels=[16, 32, 64, 128]))
train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomChoiceResize', scales=[(96, 80), (128, 96)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=2, num_workers=2, persistent_workers=True, dataset=dict(data_root='{data}/', pipeline=train_pipeline)
)
val_dataloader = dict(batch_size=1, num_workers=1, dataset=dict(data_root='{data}/'))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/annotations/val.json', metric='segm')
test_evaluator = val_evaluator
train_cfg = dict({loop})
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.002), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=32, eta_min_ratio=0.01),
]
custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='EnvironmentHook')]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict({checkpoint}))
"""
LOOPS = {
    'epochs': ("type='EpochBasedTrainLoop', max_epochs=4, val_interval=1", 'interval=1'),
    'iterations': ("type='IterBasedTrainLoop', max_iters=32, val_interval=8", 'interval=8, by_epoch=False'),
}
TRAIN_LINE = re.compile(r'(?:Epoch|Iter)\(train\)')
VAL_LINE = re.compile(r'(?:Epoch|Iter)\(val\)')


@dataclass(frozen=True)
class Moment:
    """When a training is ended.

    Attributes:
        kind: ``'step'``, ``'validation'``, ``'checkpoint'``, ``'record'``, or ``'stop'`` (SIGTERM to all of
            its processes in a step).
        passes: How many such moments of the session are let pass.
        delay: Seconds from the start of the moment.
    """

    kind: str
    passes: int
    delay: float


@dataclass
class Interruption:
    """One interruption, and what came of it."""

    run: str
    moment: Moment
    iteration: int  # the last one in the log
    resumed: str = ''
    equal: str = ''


@dataclass
class Campaign:
    """A campaign's outcome: interruptions, and how many values of each run's end differ (name, count, of all)."""

    rows: list[Interruption] = field(default_factory=list)
    ends: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(row.equal != 'no' for row in self.rows) and not any(differ for _, differ, _ in self.ends)


def draw_moments(kills: int, stops: int, seed: int) -> list[Moment]:
    """Moments in random order; the four kinds of kill in equal parts."""
    rng = random.Random(seed)
    kinds = [('step', 'validation', 'checkpoint', 'record')[number % 4] for number in range(kills)] + ['stop'] * stops
    rng.shuffle(kinds)
    passes = {'step': 5, 'record': 5, 'stop': 5, 'validation': 2, 'checkpoint': 1}
    delays = {'step': 0.1, 'stop': 0.1, 'validation': 0.1, 'checkpoint': 0.02, 'record': 0.0}
    return [Moment(kind, rng.randint(0, passes[kind]), rng.uniform(0, delays[kind])) for kind in kinds]


def _read(work_dir: Path, pattern: str, known: set[Path]) -> str:
    files = sorted(set(work_dir.glob(pattern)) - known)
    return files[-1].read_text(encoding='utf-8', errors='replace') if files else ''


def _events(work_dir: Path, kind: str) -> Callable[[], int]:
    """How many moments of a kind there were in the session that is about to start."""
    pattern = '*/vis_data/scalars.json' if kind == 'record' else '*/*.log'
    known, seen, written = set(work_dir.glob(pattern)), set(), [0]

    def count() -> int:
        if kind == 'checkpoint':
            now = {path.name for path in work_dir.glob('.*.pth.tmp')}
            written[0] += len(now - seen)
            seen.clear()
            seen.update(now)
            return written[0]
        text = _read(work_dir, pattern, known)
        if kind == 'record':
            return text.count('\n')
        return len((VAL_LINE if kind == 'validation' else TRAIN_LINE).findall(text))

    return count


def _last_iteration(work_dir: Path) -> int:
    """The last one that the newest session has logged; 0 if it has not trained yet."""
    steps = re.findall(r'"iter": (\d+)', _read(work_dir, '*/vis_data/scalars.json', set()))
    return int(steps[-1]) if steps else 0


def _run_tool(tool: Path, arguments: list[str], log: Path) -> None:
    torch.set_num_threads(1)  # threads of the parent's pool are not there after a fork: work for them would hang
    os.setsid()
    os.chdir(REPO)
    with log.open('a') as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.argv = [str(tool), *arguments]
    runpy.run_path(str(tool), run_name='__main__')


def _wait(process: BaseProcess) -> int:
    process.join()
    return process.exitcode


class Trainings:
    """Trainings of one config.

    Args:
        folder: For data, config and outputs.
        loop: ``'epochs'`` or ``'iterations'``.
        amp: With mixed precision.
    """

    def __init__(self, folder: Path, loop: str, amp: bool) -> None:
        self.name = loop + (', --amp' if amp else '')
        self.folder, self.amp = folder / (loop + ('_amp' if amp else '')), amp
        data = (folder / 'data').resolve()
        synthesize(data, 16, 4, (128, 96), 0, 1, counts=False)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / 'tiny.py'
        steps, checkpoint = LOOPS[loop]
        self.config.write_text(CONFIG.format(repo=REPO, data=data, loop=steps, checkpoint=checkpoint))

    def start(self, work_dir: Path, *options: str) -> BaseProcess:
        """Runs ``tools/train.py CONFIG --resume`` in a process of its own, with its output in ``work_dir.out``.

        The process is forked and runs the tool's file, since reading the libraries anew would take most of the time.
        """
        arguments = [str(self.config.resolve()), '--work-dir', str(work_dir.resolve()), '--resume', '--seed', '0']
        arguments += ['--deterministic', *(['--amp'] if self.amp else []), *options]
        process = multiprocessing.get_context('fork').Process(
            target=_run_tool, args=(REPO / 'tools' / 'train.py', arguments, work_dir.with_suffix('.out').resolve())
        )
        process.start()
        return process

    def alone(self) -> Path:
        """The training left alone, all its checkpoints kept; made once."""
        work_dir = self.folder / 'alone'
        if _wait(self.start(work_dir, '--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=-1')):
            raise RuntimeError(f'{work_dir.with_suffix(".out")}: the training that was left alone failed')
        return work_dir

    def interrupt(self, work_dir: Path, moment: Moment) -> bool:
        """Starts or goes on, and ends the training at a moment; whether the moment came before its end.

        Raises:
            RuntimeError: If it ended in an error.
        """
        events = _events(work_dir, moment.kind)
        process = self.start(work_dir)
        try:
            while events() <= moment.passes:
                if process.exitcode is not None:
                    if process.exitcode:
                        raise RuntimeError(f'{work_dir.with_suffix(".out")}: it ended with {process.exitcode}')
                    return False
                time.sleep(POLL_SECONDS.get(moment.kind, 0.01))
            time.sleep(moment.delay)
            if moment.kind == 'stop':
                os.killpg(process.pid, signal.SIGTERM)  # to loader workers, too, as schedulers do
                code = _wait(process)
                if code not in (0, EX_TEMPFAIL):
                    raise RuntimeError(f'{work_dir.with_suffix(".out")}: SIGTERM ended it with {code}')
                return code == EX_TEMPFAIL
            return process.exitcode is None
        finally:
            process.kill()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # loader workers
            process.join()


def _flat(value: object, name: str = '') -> Iterator[tuple[str, object]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if items is None:
        yield name, value
        return
    for key, part in items:
        yield from _flat(part, f'{name}.{key}')


def compare(one: str | Path, other: str | Path) -> tuple[int, int]:
    """Of all that two checkpoints have learned: how many values (tensors, numbers) differ in any bit, and all."""
    contents = [torch.load(path, map_location='cpu', weights_only=True) for path in (one, other)]
    first, second = (dict(_flat({key: content[key] for key in LEARNED})) for content in contents)

    def same(a: object, b: object) -> bool:
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return a.dtype == b.dtype and torch.equal(a, b)
        return a == b

    names = first.keys() | second.keys()
    return sum(name not in first or name not in second or not same(first[name], second[name]) for name in names), len(
        names
    )


def _resumption(work_dir: Path, alone: Path) -> tuple[str, str]:
    """Where a training will go on, and whether its checkpoint is the one of the training left alone."""
    found = find_whole_checkpoint(work_dir)
    if found is None:
        return 'the start', '-'
    path, meta = Path(found[0]), found[1]
    place = f'{path.name}, iteration {meta["iter"]}'
    if not (alone / path.name).is_file():
        return place, '-'  # it stopped between two checkpoints of the other
    return place, 'no' if compare(path, alone / path.name)[0] else 'yes'


def kill_and_resume(
    folder: Path, kills: int, stops: int, seed: int, say: Callable[[str], None], plans: dict[tuple[str, bool], float]
) -> Campaign:
    """Runs the campaign.

    Args:
        folder: For everything that it writes.
        kills: How many times SIGKILL is sent.
        stops: How many times SIGTERM is sent, on top.
        seed: Of the moments.
        say: Takes a line of progress.
        plans: Loop and mixed precision of the trainings, and the share of the interruptions of each.
    """
    campaign, moments = Campaign(), draw_moments(kills, stops, seed)
    for number, ((loop, amp), share) in enumerate(plans.items()):
        trainings = Trainings(folder, loop, amp)
        say(f'{trainings.name}: the training left alone')
        alone = trainings.alone()
        last = Path((alone / 'last_checkpoint').read_text()).name
        left = len(moments) if number == len(plans) - 1 else min(len(moments), round(share * (kills + stops)))
        mine, moments = moments[:left], moments[left:]
        runs = 0
        while mine:
            runs += 1
            name, work_dir = f'{trainings.name}, run {runs}', trainings.folder / f'run{runs}'
            while mine and trainings.interrupt(work_dir, mine[0]):
                row = Interruption(name, mine.pop(0), _last_iteration(work_dir), *_resumption(work_dir, alone))
                campaign.rows.append(row)
                say(
                    f'{len(campaign.rows)}: {name}: {row.moment.kind} after iteration {row.iteration}; '
                    f'goes on from {row.resumed}; equal: {row.equal}'
                )
            if _wait(trainings.start(work_dir)):
                raise RuntimeError(f'{work_dir.with_suffix(".out")}: the last session failed')
            read_header(work_dir / last)
            campaign.ends.append((name, *compare(work_dir / last, alone / last)))
            say('{}: {} of {} values differ at the end'.format(*campaign.ends[-1]))
    return campaign


NAMES = {
    'step': 'SIGKILL in a training step',
    'validation': 'SIGKILL in validation',
    'checkpoint': 'SIGKILL while a checkpoint is written',
    'record': 'SIGKILL while log records are written',
    'stop': 'SIGTERM (exit code 75)',
}


def table(campaign: Campaign) -> str:
    """The campaign as Markdown."""
    header = ['', 'training', 'moment', 'last iteration in the log', 'goes on from', 'that checkpoint equal']
    kills = [
        (number, row.run, NAMES[row.moment.kind], row.iteration, row.resumed, row.equal)
        for number, row in enumerate(campaign.rows, 1)
    ]
    ends = markdown_table(['training', 'values that differ at its end', 'of'], campaign.ends)
    return f'{markdown_table(header, kills, "rllrll")}\n\n{ends}\n'
