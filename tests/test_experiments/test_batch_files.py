"""Batch files for Slurm: what they say, in what order they are handed in, and what they do with a signal."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

from mmdet_ir.experiments import batch_files
from mmdet_ir.experiments.batch_files import BatchSettings, batch_text, write_batch_files
from mmdet_ir.experiments.cells import SizeData, TableRow
from mmdet_ir.experiments.jobs import Job, Launcher
from mmdet_ir.experiments.reproduce import Plan

import pytest

CONFIG = """
train_cfg = dict(max_epochs=2)
load_from = {load_from!r}
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='https://where.org/r50.pth')))
train_dataloader = dict(dataset=dict(data_root='data', ann_file='val.json'))
test_dataloader = train_dataloader
"""


class Cells(Plan):
    """Cell ``a`` with two seeds, as it is."""

    def data_sets(self) -> list[SizeData]:
        return [SizeData('paper', 'ir', 'title', None, (), None, False)]

    def jobs(self) -> list[Job]:
        row = TableRow('a', 'A', 'a.py')
        return [Job(row, self.data_sets()[0], seed, self.root, self.results) for seed in (0, 1)]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr(batch_files, '_disk', lambda job: 2e9)
    (tmp_path / 'a.py').write_text(CONFIG.format(load_from=None))
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'val.json').write_text('{}')
    return Cells('paper', tables=['table1'], root=Path('runs'), results=Path('results'))


def script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/bash\n{text}\n')
    path.chmod(0o755)


def test_a_file_for_each_run_and_a_test_that_waits(plan: Plan, tmp_path: Path) -> None:
    settings = BatchSettings('1-12:00:00', gpus=2, account='lab', partition='long')
    lines = write_batch_files(plan, tmp_path / 'batch', settings)
    assert sorted(path.name for path in (tmp_path / 'batch').iterdir()) == [
        'paper-ir-a-seed0.test.sh', 'paper-ir-a-seed0.train.sh', 'paper-ir-a-seed1.test.sh',
        'paper-ir-a-seed1.train.sh', 'submit.sh',
    ]  # fmt: skip
    text = (tmp_path / 'batch' / 'paper-ir-a-seed1.train.sh').read_text()
    for option in ('job-name=paper-ir-a-seed1', 'time=1-12:00:00', 'gres=gpu:2', 'account=lab', 'partition=long'):
        assert f'#SBATCH --{option}\n' in text
    assert '#SBATCH --requeue\n#SBATCH --signal=B:USR1@300\n' in text
    # the command that --dry-run prints is the one that is executed
    assert f'\n{shlex.join(plan.jobs()[1].train_command(Launcher(2)))} &\n' in text
    test = (tmp_path / 'batch' / 'paper-ir-a-seed1.test.sh').read_text()
    assert '--only paper-ir-a-seed1 --seeds 1 --gpus-per-run 2 --table 1' in test and '--requeue' not in test
    assert lines[1] == 'at most 144 GPU hours (2 runs x 2 GPUs x 1-12:00:00), and the tests'
    assert lines[2].startswith('about 4.0 GB') and 'https://where.org/r50.pth' in lines[3]
    script(tmp_path / 'bin' / 'sbatch', f'echo "$@" >> {tmp_path}/asked; wc -l < {tmp_path}/asked')
    env = {**os.environ, 'PATH': f'{tmp_path}/bin:{os.environ["PATH"]}'}
    subprocess.run(['bash', tmp_path / 'batch' / 'submit.sh'], env=env, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / 'asked').read_text().splitlines() == [
        '--parsable paper-ir-a-seed0.train.sh', '--dependency=afterok:1 paper-ir-a-seed0.test.sh',
        '--parsable paper-ir-a-seed1.train.sh', '--dependency=afterok:3 paper-ir-a-seed1.test.sh',
    ]  # fmt: skip


def test_what_is_missing_is_told_before_anything_is_written(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text(CONFIG.format(load_from='weights/start.pth'))
    (tmp_path / 'data' / 'val.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'data/val\.json; weights/start\.pth, which paper/ir/a seed 0 starts'):
        write_batch_files(plan, tmp_path / 'batch', BatchSettings())
    assert not (tmp_path / 'batch').exists()


@pytest.mark.parametrize(('text', 'hours'), [('12:00:00', 12), ('2-06:30:00', 54.5), ('90', 1.5), ('30:00', 0.5)])
def test_limits(text: str, hours: float) -> None:
    assert BatchSettings(text).hours == pytest.approx(hours)
    with pytest.raises(ValueError, match='--time: expected a limit such as'):
        BatchSettings('two days')


@pytest.mark.parametrize(('code', 'asked'), [(75, True), (0, False), (2, False)])
def test_a_signal_reaches_the_training_and_75_goes_back_into_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, asked: bool
) -> None:
    """The training says that it runs, waits for the signal, and ends with a code."""
    monkeypatch.chdir(tmp_path)
    script(tmp_path / 'bin' / 'scontrol', f'echo "$@" > {tmp_path}/requeued')
    body = f'trap "sleep 0.2; exit {code}" USR1; touch {tmp_path}/runs; while :; do sleep 0.05; done'
    text = batch_text('a', ['bash', '-c', body], tmp_path / 'log', BatchSettings(), requeue=True)
    text = re.sub(r'\S+ -m pip freeze', 'true', text)
    script(tmp_path / 'job.sh', text)
    env = {**os.environ, 'PATH': f'{tmp_path}/bin:{os.environ["PATH"]}', 'SLURM_JOB_ID': '17'}
    with subprocess.Popen([tmp_path / 'job.sh'], env=env, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not (tmp_path / 'runs').exists() and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == code
    assert (tmp_path / 'requeued').exists() == asked
    assert not asked or (tmp_path / 'requeued').read_text() == 'requeue 17\n'
