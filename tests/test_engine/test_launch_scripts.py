"""The launch scripts hand a stop on to the training, and its answer to the scheduler; all else is played."""

import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
TRAINING = """#!/usr/bin/env bash
# train.py: ends with 75 when it gets a signal, a while after it
trap 'sleep 0.3; [ -z "$MMDET_IR_STOPPED_FILE" ] || echo 75 > "$MMDET_IR_STOPPED_FILE"; exit 75' TERM USR1
touch {folder}/started
for _ in $(seq 200); do sleep 0.05; done
exit 9
"""
TORCHRUN = """#!/usr/bin/env bash
trap 'touch {folder}/killed; exit 1' TERM USR1
{folder}/train.py & wait
exit 1
"""


@pytest.fixture
def played(tmp_path: Path) -> Path:
    """A folder with ``train.py``, ``torchrun``, ``srun`` and ``scontrol``."""
    srun = f'#!/usr/bin/env bash\nexec {tmp_path}/train.py\n'
    scontrol = f'#!/usr/bin/env bash\necho "$@" > {tmp_path}/requeued\n'
    for name, text in (('train.py', TRAINING), ('torchrun', TORCHRUN), ('srun', srun), ('scontrol', scontrol)):
        path = tmp_path / name
        path.write_text(text.format(folder=tmp_path) if name in ('train.py', 'torchrun') else text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def stopped(folder: Path, number: signal.Signals, *command: object, **environment: str) -> int:
    """Exit code of a script that gets a signal, alone, while the training runs."""
    env = os.environ | {'PATH': f'{folder}:{os.environ["PATH"]}'} | environment
    with subprocess.Popen(list(map(str, command)), env=env, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (folder / 'started').exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
    return process.returncode


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_torchrun_is_left_alone_and_its_code_replaced(played: Path, number: signal.Signals) -> None:
    assert stopped(played, number, TOOLS / 'dist_train.sh', 'config.py', 1, PYTHON=str(played / 'torchrun')) == 75
    assert not (played / 'killed').exists()


@pytest.mark.skipif(not Path('/proc/self').exists(), reason='of systems with /proc')
def test_a_small_system_has_no_pkill(played: Path) -> None:
    for name in ('pkill', 'pgrep', 'ps'):
        (played / name).write_text('#!/usr/bin/env bash\nexit 127\n')
        (played / name).chmod(0o755)
    command = (TOOLS / 'dist_train.sh', 'config.py', 1)
    assert stopped(played, signal.SIGTERM, *command, PYTHON=str(played / 'torchrun')) == 75
    assert not (played / 'killed').exists()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_a_stopped_batch_job_is_put_back_into_the_queue(played: Path, number: signal.Signals) -> None:
    command = (TOOLS / 'slurm_train.sh', 'part', 'job', 'config.py', played / 'run', '--resume')
    assert stopped(played, number, *command, SLURM_JOB_ID='123') == 75
    assert (played / 'requeued').read_text() == 'requeue 123\n'


@pytest.mark.parametrize(
    ('options', 'again'),
    [
        (['--amp'], False),
        (['--resume', 'run/epoch_3.pth'], False),
        (['--resume=run/epoch_3.pth', '--amp'], False),
        (['--resume', 'auto'], True),
        (['--resume=auto'], True),
        (['--resume', '--amp'], True),
    ],
)
def test_a_job_that_would_begin_at_the_same_place_stays_out_of_the_queue(
    played: Path, capfd: pytest.CaptureFixture, options: list[str], again: bool
) -> None:
    command = (TOOLS / 'slurm_train.sh', 'part', 'job', 'config.py', played / 'run', *options)
    assert stopped(played, signal.SIGUSR1, *command, SLURM_JOB_ID='123') == 75
    assert (played / 'requeued').exists() == again
    assert ('a job that is stopped stays out of the queue' in capfd.readouterr().err) != again


def test_a_job_of_ones_own_is_not(played: Path) -> None:
    command = (TOOLS / 'slurm_train.sh', 'part', 'job', 'config.py', played / 'run', '--resume')
    assert stopped(played, signal.SIGTERM, *command, SLURM_JOB_ID='123', REQUEUE='0') == 75
    assert not (played / 'requeued').exists()


def test_other_codes_are_handed_on(played: Path) -> None:
    (played / 'srun').write_text('#!/usr/bin/env bash\nexit 2\n')
    command = [TOOLS / 'slurm_train.sh', 'part', 'job', 'config.py', played / 'run', '--resume']
    env = os.environ | {'PATH': f'{played}:{os.environ["PATH"]}', 'SLURM_JOB_ID': '123'}
    assert subprocess.run(list(map(str, command)), env=env).returncode == 2
    assert not (played / 'requeued').exists()
