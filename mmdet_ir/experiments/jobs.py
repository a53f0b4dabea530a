"""One run of one cell: prepare, train, test, record. Steps that are done are not done again."""

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ..datasets.wrappers import leaves
from ..engine.config_hash import config_hash
from ..fileio import write_text
from .cells import SizeData, TableRow, rebased_config
from .own_data import on_own_data
from .records import make_record, save_record

TRAIN, TEST = 'tools/train.py', 'tools/test.py'
READING = threading.RLock()  # mmengine reads configs and builds models in one thread at a time only


class JobError(RuntimeError):
    """A step of a run failed; the message says which, and what its log ends with."""


class MissingDataError(JobError):
    """The data set of a run is not there."""


@dataclass(frozen=True)
class Launcher:
    """How the ordinary tools are started.

    Attributes:
        gpus: GPUs (or CPU processes) of one run.
        partition: Of Slurm; ``None`` to run here.
    """

    gpus: int = 1
    partition: str | None = None

    def command(self, tool: str, name: str, config: str, arguments: Sequence[str], work_dir: str) -> list[str]:
        """Command line for ``tools/train.py`` or ``tools/test.py``.

        Args:
            tool: One of the two.
            name: Of the Slurm job.
            config: Config file.
            arguments: Those after the config, without the work folder.
            work_dir: Folder of the outputs.
        """
        kind = Path(tool).stem
        if self.partition is not None:
            if kind == 'train':
                return ['tools/slurm_train.sh', self.partition, name, config, work_dir, *arguments]
            return ['tools/slurm_test.sh', self.partition, name, config, *arguments, '--work-dir', work_dir]
        if self.gpus > 1:
            script = [f'tools/dist_{kind}.sh', config]
            if kind == 'test':  # its number of processes stands after the checkpoint
                return [*script, arguments[0], str(self.gpus), *arguments[1:], '--work-dir', work_dir]
            return [*script, str(self.gpus), *arguments, '--work-dir', work_dir]
        return [sys.executable, tool, config, *arguments, '--work-dir', work_dir]


@dataclass(frozen=True)
class Job:
    """A cell at a size, on a data set, with a seed.

    Attributes:
        row: The cell.
        data: Size and data set.
        seed: Of all random numbers.
        root: Folder of all runs.
        results: Folder of all records.
    """

    row: TableRow
    data: SizeData
    seed: int
    root: Path
    results: Path

    @property
    def name(self) -> str:
        return f'{self.data.size}/{self.data.name}/{Path(self.row.config).stem}'

    @property
    def label(self) -> str:
        return f'{self.name} seed {self.seed}'

    @property
    def work_dir(self) -> Path:
        return self.root / self.name / f'seed{self.seed}'

    @property
    def record(self) -> Path:
        return self.results / f'{self.name}_seed{self.seed}.json'

    @property
    def is_file(self) -> bool:
        """Whether the cell is trained as it is."""
        return self.data.bases is None and self.data.folder is None

    @property
    def config_file(self) -> Path:
        """What is trained: the cell itself, or its settings on another base or another data set."""
        if self.is_file:
            return Path(self.row.config)
        return self.root / self.data.size / self.data.name / 'configs' / Path(self.row.config).name

    def config(self) -> Config:
        """The cell at this size, on these data."""
        return self._config_and_notes()[0]

    def notes(self) -> list[str]:
        """What was measured of a user's own data, and changed in the cell for them."""
        return self._config_and_notes()[1]

    def _config_and_notes(self) -> tuple[Config, list[str]]:
        with READING:
            if self.data.bases is None:
                cfg = Config.fromfile(self.row.config)
            else:
                cfg = rebased_config(self.row.config, self.data.bases)
            for start, weights in self.data.starts.items():
                if Config.fromfile(start).model.neck == cfg.model.neck:
                    cfg.load_from = weights
            return (cfg, []) if self.data.folder is None else on_own_data(cfg, self.data.folder)

    def is_done(self) -> bool:
        """Whether there is a record of this cell with the settings that it has now.

        Raises:
            JobError: If there is a record, but of other settings.
        """
        if not self.record.is_file():
            return False
        recorded = json.loads(self.record.read_text()).get('cell_sha256')
        if recorded != config_hash(self.config()):
            raise JobError(
                f'{self.record}: its settings are not those of {self.row.config} any more; '
                'delete or move the record to run the cell again'
            )
        return True

    def train_command(self, launcher: Launcher) -> list[str]:
        arguments = ['--seed', str(self.seed), *(['--amp'] if self.data.amp else []), '--resume']
        return launcher.command(TRAIN, self.row.name, str(self.config_file), arguments, str(self.work_dir))

    def test_command(self, launcher: Launcher, checkpoint: str) -> list[str]:
        test_dir = str(self.work_dir / 'test')
        detections = f'test_evaluator.outfile_prefix={test_dir}/detections'
        arguments = [checkpoint, '--cfg-options', detections, f'test_evaluator.out_json={test_dir}/metrics.json']
        return launcher.command(TEST, self.row.name, str(self.config_file), arguments, test_dir)


def first_of(data: SizeData, root: Path) -> tuple[Path, Path] | None:
    """Work folder and checkpoint of the run that must come first: what the cells' ``load_from`` names."""
    if data.first is None:
        return None
    config = Config.fromfile(data.first)
    return root / data.size / Path(data.first).stem, Path(f'epoch_{config.train_cfg.max_epochs}.pth')


def missing_data(config: Config) -> list[str]:
    """Annotation files of a config that do not exist."""
    files = []
    for loader in ('train_dataloader', 'test_dataloader'):
        for leaf in leaves(config[loader].dataset):
            files.append(os.path.join(leaf.get('data_root') or '', leaf.ann_file))
    return [file for file in files if not os.path.isfile(file)]


@contextmanager
def locked(folder: Path):
    """Holds a folder; gives the lock's file descriptor, or ``None`` if another process has it.

    The descriptor is handed to the tools that work in the folder: when a runner is killed, its lock lives as long as
    they do, and a second runner does not start a second training in the same folder. Loader processes that outlive a
    killed tool are ended, since they would hold the folder for good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / '.lock', os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor if _try_lock(descriptor) or _end_orphans(descriptor) else None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_orphans(descriptor: int) -> bool:
    """Ends what a dead tool left behind; whether the folder is free then. The lock's file names the tool's process."""
    tool = os.pread(descriptor, 20, 0)
    if not tool or _is_alive(int(tool)):
        return False
    end_group(int(tool), signal.SIGKILL)
    end = time.monotonic() + 5  # until the system has ended them
    while not _try_lock(descriptor):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f'/proc/{pid}/stat')  # Linux: a process that ended, but which nobody has asked about, is still listed
    return not stat.is_file() or stat.read_text().rpartition(')')[2].split()[0] != 'Z'


def end_group(leader: int, how: signal.Signals) -> None:
    """Signals a tool and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, how)


Start = Callable[[list[str], Path, int], None]


def run_command(command: list[str], log: Path, lock: int, processes: set, env: dict[str, str]) -> None:
    """Runs a command with its output in a log.

    Args:
        command: Program and arguments.
        log: Where its output goes, after what is there.
        lock: Descriptor that the process keeps open.
        processes: Takes the process while it runs.
        env: Its environment.

    Raises:
        JobError: If it ends with another code than 0; with the last line of the log that is no warning.
    """
    with log.open('a', encoding='utf-8') as out:
        out.write(f'$ {shlex.join(command)}\n')
        out.flush()
        # A group of its own: what the tool starts can be ended with it, and after it.
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, pass_fds=[lock], env=env, start_new_session=True
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(process.pid).encode(), 0)
    processes.add(process)
    try:
        code = process.wait()
    finally:
        processes.discard(process)
        end_group(process.pid, signal.SIGKILL)
    if code:
        lines = [line.strip() for line in log.read_text(encoding='utf-8', errors='replace').splitlines()]
        errors = [line for line in lines if line.startswith('error:')] or [line for line in lines if line]
        raise JobError(
            f'{Path(command[1]).name if "python" in command[0] else command[0]} ended with code {code}: '
            f'{errors[-1][:300]} (log: {log})'
        )


def run_job(job: Job, launcher: Launcher, start: Start, lock: int) -> dict:
    """Trains, tests and records; resumes where an interrupted run stopped.

    Args:
        job: The run.
        launcher: How tools are started.
        start: Runs a command: command line, log, lock; see :func:`run_command`.
        lock: Descriptor of the lock on the run's folder.

    Returns:
        The record.

    Raises:
        JobError: If a step failed, or if the folder holds a run with other settings.
        MissingDataError: If the data set is not there.
    """
    config = job.config()
    missing = missing_data(config)
    if missing:
        raise MissingDataError(f'no data: {", ".join(missing)}')
    state_file, key = job.work_dir / 'state.json', config_hash(config)
    state = json.loads(state_file.read_text()) if state_file.is_file() else {'cell_sha256': key, 'trained': False}
    if state['cell_sha256'] != key:
        raise JobError(f'{job.work_dir} holds a run with other settings; delete or move it')
    write_text(state_file, json.dumps(state))
    write_config(job)
    log = job.work_dir / 'log.txt'
    if not state['trained']:
        start(job.train_command(launcher), log, lock)
        state['trained'] = True
        write_text(state_file, json.dumps(state))
    checkpoint = Path((job.work_dir / 'last_checkpoint').read_text().strip()).name
    start(job.test_command(launcher, str(job.work_dir / checkpoint)), log, lock)
    metrics = job.work_dir / 'test' / 'metrics.json'
    with READING:
        record = make_record(str(job.config_file), job.work_dir, metrics, job.row.title, job.data.title)
    record |= {'config': job.row.config, 'size': job.data.size, 'data_name': job.data.name, 'cell_sha256': key}
    record['tested_checkpoint'] = checkpoint
    save_record(record, job.record)
    return record


def write_config(job: Job) -> None:
    """Writes the config of a run whose cell stands on another base or data set; others have a file already."""
    if job.is_file:
        return
    config = job.config()
    if not _same_settings(job.config_file, config_hash(config)):
        write_text(job.config_file, config.pretty_text)


def _same_settings(file: Path, key: str) -> bool:
    with READING:
        return file.is_file() and config_hash(Config.fromfile(file)) == key
