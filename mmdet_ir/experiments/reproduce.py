"""Runs the cells of the paper's tables: what is missing, several at a time, whatever happened before."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from mmengine.config import Config

from ..cli import named_entries
from .cells import SizeData, load_figures, load_sizes, load_tables
from .jobs import (
    Job,
    JobError,
    Launcher,
    MissingDataError,
    end_group,
    first_of,
    locked,
    missing_data,
    run_command,
    run_job,
)
from .own_data import own_data_set

BUSY_SECONDS = 10  # until a run that another process holds is looked at again


@dataclass
class Plan:
    """What is asked for.

    Attributes:
        size: ``'paper'``, ``'cpu'`` or ``'scratch'``.
        tables: Names of tables; with ``figures`` empty, none means all.
        figures: Names of figures, whose cells are added.
        rows: Names of the rows to run; none means all.
        data: Names of data sets, or ``NAME=FOLDER`` for one's own; none means all of the size.
        seeds: One run of each cell for each.
        seeds_for: Names of rows with all ``seeds``, the others get the first one only; none means all rows.
        root: Folder of all runs.
        results: Folder of all records.
    """

    size: str
    tables: Sequence[str] = ()
    figures: Sequence[str] = ()
    rows: Sequence[str] = ()
    data: Sequence[str] = ()
    seeds: Sequence[int] = (0,)
    seeds_for: Sequence[str] = ()
    root: Path = Path('work_dirs/reproduce')
    results: Path = Path('results')

    def data_sets(self) -> list[SizeData]:
        """The chosen data sets.

        Raises:
            FileNotFoundError: If a folder lacks an annotation file.
            ValueError: If a name is unknown.
        """
        known = load_sizes()[self.size]
        own = named_entries('--data', [entry for entry in self.data if '=' in entry], 'NAME or NAME=FOLDER')
        if own:
            chosen = [entry for entry in self.data if '=' not in entry]
            template = next(iter(known.values()))
            others = replace(self, data=chosen).data_sets() if chosen else []
            return others + [own_data_set(template, name, folder, known) for name, folder in own.items()]
        unknown = set(self.data) - set(known)
        if unknown:
            raise ValueError(
                f'--data: expected names out of {", ".join(known)} at the size {self.size}, got '
                f'{", ".join(sorted(unknown))}'
            )
        return [data for name, data in known.items() if not self.data or name in self.data]

    def jobs(self) -> list[Job]:
        """Every run once, though tables share cells; cells of the first seed come first.

        Raises:
            ValueError: If a name is unknown, or a table is run on none of the data sets.
        """
        tables, figures = load_tables(), load_figures()
        named = {row.name for table in tables.values() for row in table.rows}
        for option, names in (('--rows', self.rows), ('--seeds-for', self.seeds_for)):
            if not set(names) <= named:
                raise ValueError(f'{option}: expected names out of {", ".join(sorted(named))}, got {", ".join(names)}')
        chosen = list(self.tables) or ([] if self.figures else list(tables))
        for name in self.tables:
            if all(name in data.without for data in self.data_sets()):
                sizes = [size for size, sets in load_sizes().items() for d in sets.values() if name not in d.without]
                raise ValueError(
                    f'--table: {name.removeprefix("table")} is not run at the size {self.size} on these data; '
                    f'sizes that have it: {", ".join(dict.fromkeys(sizes))}'
                )
        more = {row.config for table in tables.values() for row in table.rows if row.name in self.seeds_for}
        jobs: dict[str, Job] = {}
        for data in self.data_sets():
            rows = [row for name in chosen if name not in data.without for row in tables[name].rows]
            barred = {row.config for name in data.without for row in tables[name].rows}
            barred -= {row.config for name, table in tables.items() if name not in data.without for row in table.rows}
            rows += [row for name in self.figures for row in figures[name] if row.config not in barred]
            for row in rows:
                if self.rows and row.name not in self.rows:
                    continue
                for seed in self.seeds if not self.seeds_for or row.config in more else self.seeds[:1]:
                    job = Job(row, data, seed, self.root, self.results)
                    jobs.setdefault(job.label, job)
        return sorted(jobs.values(), key=lambda job: self.seeds.index(job.seed))


@dataclass
class Outcome:
    """What came of the runs, by label: seconds of those run now, and reasons of the others."""

    done: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    no_data: dict[str, str] = field(default_factory=dict)


Say = Callable[[str], None]


class Reproduction:
    """Runs jobs in threads, each of which waits for the tools that it starts.

    Args:
        jobs: The runs.
        launcher: How tools are started.
        slots: For each run at a time its GPUs as ``CUDA_VISIBLE_DEVICES`` names them; ``None`` leaves that alone.
        say: Takes each line of progress.
    """

    def __init__(self, jobs: Sequence[Job], launcher: Launcher, slots: Sequence[str | None], say: Say) -> None:
        self.jobs, self.launcher, self.say = list(jobs), launcher, say
        self.slots: SimpleQueue[str | None] = SimpleQueue()
        for slot in slots:
            self.slots.put(slot)
        self.width = len(slots)
        self.processes: set = set()
        self.stopping = threading.Event()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Runs all that is missing; a run that fails does not stop the others.

        Raises:
            JobError: If the run that the others start from failed.
            KeyboardInterrupt: After the tools were ended; each run goes on from its last checkpoint the next time.
        """
        waiting = []
        for job in self.jobs:
            try:
                if job.is_done():
                    self.outcome.skipped.append(job.label)
                else:
                    waiting.append(job)
            except (JobError, ValueError, FileNotFoundError) as error:
                self._fail(job, error)
        self.say(f'{len(self.jobs)} runs: {len(self.outcome.skipped)} are recorded, {len(waiting)} to do')
        try:
            self._prepare(waiting)
            self._run_all(waiting)
        except KeyboardInterrupt:
            self._stop()
            raise
        return self.outcome

    def _run_all(self, waiting: list[Job]) -> None:
        self.start_time, self.left = time.monotonic(), len(waiting)
        with ThreadPoolExecutor(self.width) as pool:
            try:
                futures = {pool.submit(self._run_one, job) for job in waiting}
                while futures:
                    done, futures = wait(futures, timeout=1, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            except BaseException:
                self._stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _prepare(self, waiting: list[Job]) -> None:
        """The run that the others start from."""
        for data in {job.data.size: job.data for job in waiting}.values():
            first = first_of(data, waiting[0].root)
            if first is None or (first[0] / first[1]).is_file():
                continue
            missing = missing_data(Config.fromfile(data.first))
            if missing:
                raise MissingDataError(f'{data.first}: no data: {", ".join(missing)} (see docs/method/reproduce.md)')
            self.say(f'first  {data.first}, whose weights the cells start from (log: {first[0]}/log.txt)')
            arguments = ['--resume', *(['--amp'] if data.amp else [])]
            command = self.launcher.command('tools/train.py', first[0].name, data.first, arguments, str(first[0]))
            with locked(first[0]) as lock:
                if lock is None:
                    raise JobError(f'{first[0]}: another process is training there; start again when it is done')
                slot = self.slots.get()
                self._start(slot, command, first[0] / 'log.txt', lock)
                self.slots.put(slot)

    def _run_one(self, job: Job) -> None:
        slot = self.slots.get()
        try:
            self._run_in(slot, job)
        finally:
            self.slots.put(slot)

    def _run_in(self, slot: str | None, job: Job) -> None:
        if self.stopping.is_set():
            return
        began = time.monotonic()
        try:
            while True:
                with locked(job.work_dir) as lock:
                    if lock is not None:
                        if job.is_done():  # by the process that held it
                            self.outcome.skipped.append(job.label)
                            return
                        self.say(f'start  {job.label} (log: {job.work_dir}/log.txt)')
                        record = run_job(job, self.launcher, partial(self._start, slot), lock)
                        break
                self.say(f'wait   {job.label}: another process works in {job.work_dir}')
                if self.stopping.wait(BUSY_SECONDS):
                    return
        except Exception as error:  # noqa: BLE001  (whatever happens to one run, the others go on)
            if not self.stopping.is_set():
                self._fail(job, error)
            return
        finally:
            self.left -= 1
        self.outcome.done[job.label] = time.monotonic() - began
        score = record['metrics']['segm']['all']['mAP']
        self.say(
            f'done   {job.label}: mask mAP {100 * score:.3f}, {_duration(self.outcome.done[job.label])}; '
            f'{self.left} left, {self._eta()}'
        )

    def _start(self, slot: str | None, command: list[str], log: Path, lock: int) -> None:
        env = dict(os.environ)
        if slot is not None:
            env['CUDA_VISIBLE_DEVICES'] = slot
        if self.launcher.partition is not None:
            env['GPUS'] = str(self.launcher.gpus)
        run_command(command, log, lock, self.processes, env)

    def _fail(self, job: Job, error: Exception) -> None:
        if isinstance(error, MissingDataError):
            self.outcome.no_data[job.label] = str(error)
            self.say(f'no data {job.label}: {error}')
        else:
            known = isinstance(error, (JobError, ValueError, OSError))
            reason = str(error) if known else f'{error!r} (traceback: {job.work_dir}/log.txt)'
            if not known:
                with (job.work_dir / 'log.txt').open('a', encoding='utf-8') as log:
                    traceback.print_exception(error, file=log)
            self.outcome.failed[job.label] = reason
            self.say(f'FAILED {job.label}: {reason}')

    def _eta(self) -> str:
        each = (time.monotonic() - self.start_time) / len(self.outcome.done)
        return f'about {_duration(each * self.left)} to go'

    def _stop(self) -> None:
        self.stopping.set()
        for process in list(self.processes):
            end_group(process.pid, signal.SIGTERM)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes:02d} min' if hours else f'{minutes} min {seconds:02d} s'
