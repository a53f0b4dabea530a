"""How PyTorch's threads should wait for each other, on a machine that is quiet and beside busy neighbours."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from ..cli.choices import WAYS_TO_WAIT
from ..markdown import markdown_table
from .run import Worker
from .worker import Trial

# Name -> environment of the process, threads (0: all). libgomp, which PyTorch's wheels bring, reads the first two.
_SETTINGS = (
    ({'OMP_WAIT_POLICY': '', 'GOMP_SPINCOUNT': '300000'}, 0),  # as libgomp does it by itself
    ({'OMP_WAIT_POLICY': '', 'GOMP_SPINCOUNT': '10000'}, 0),
    ({'OMP_WAIT_POLICY': '', 'GOMP_SPINCOUNT': '1000'}, 0),
    ({'OMP_WAIT_POLICY': 'PASSIVE'}, 0),
    ({}, 1),
)
SETTINGS = dict(zip(WAYS_TO_WAIT, _SETTINGS, strict=True))
_BUSY = 'while True: pass'


def compare_waiting(
    job: Trial,
    settings: Sequence[str] = tuple(SETTINGS),
    neighbours: Sequence[int] = (0, 1, 2, 3),
    repeats: int = 5,
    keep: Callable[[list[dict]], None] = lambda rows: None,
) -> list[dict]:
    """Times a training step in a process for each setting; the processes take turns.

    Args:
        job: The step; its ``threads`` are all.
        settings: Keys of :data:`SETTINGS`; ratios refer to the first.
        neighbours: Numbers of processes beside it that compute without a pause, one thread each.
        repeats: Timed rounds.
        keep: Is given the rows so far after each number of neighbours.

    Returns:
        Rows with ``neighbours``, ``setting``, ``seconds`` (median), ``all`` seconds, ``ratio`` to the first setting in
        the same rounds (median of the rounds' ratios), and ``load``: processes that wanted to run, on average over
        the minute before these rounds.

    Raises:
        ValueError: If a process cannot start; the message has its reason.
    """
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {}
        for name in settings:
            environment, threads = SETTINGS[name]
            own = replace(job, folder=folder, threads=threads or job.threads)
            log = Path(folder, f'{name}.log')
            workers[name] = stack.enter_context(Worker(own, log, environment))
            if not workers[name].alive:
                raise ValueError(f'{name}: {workers[name].known["error"]}')
        for number in neighbours:
            load = os.getloadavg()[0]
            with _neighbours(number):
                for worker in workers.values():
                    worker.seconds.clear()
                for _ in range(repeats):
                    for worker in workers.values():
                        worker.measure()
            first = workers[settings[0]].seconds
            for name, worker in workers.items():
                ratios = [own / base for own, base in zip(worker.seconds, first, strict=True)]
                rows.append(
                    {
                        'neighbours': number,
                        'setting': name,
                        'seconds': median(worker.seconds),
                        'ratio': median(ratios),
                        'load': load,
                        'all': list(worker.seconds),
                    }
                )
            keep(rows)
    return rows


def waiting_table(rows: list[dict]) -> str:
    """Markdown table of what :func:`compare_waiting` returns."""
    cells = [
        [str(row['neighbours']), row['setting'], f'{row["seconds"]:.2f}', f'{row["ratio"]:.2f}', f'{row["load"]:.1f}']
        for row in rows
    ]
    return markdown_table(['neighbours', 'threads wait', 's a step', 'ratio', 'load average before'], cells)


@contextmanager
def _neighbours(number: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, '-c', _BUSY]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
