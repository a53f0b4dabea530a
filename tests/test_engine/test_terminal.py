"""Signals where a training is not the stock one, and Ctrl-C at a terminal: saved and told, or ended as any program."""

import multiprocessing
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from mmdet_ir.engine import EX_TEMPFAIL, TrainingStopped, find_whole_checkpoint

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from toy_training import At, terminate, train

TOOLS = Path(__file__).parents[2] / 'tools'
pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')


class Renamed(EpochBasedTrainLoop):
    """A loop of one's own that adds something beside the steps."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.note = 'mine'


class OwnEpochs(EpochBasedTrainLoop):
    """With an epoch of its own, in which hooks are called."""

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in enumerate(self.dataloader):
            self.run_iter(number, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


class OwnSteps(EpochBasedTrainLoop):
    """Without hooks of steps: nobody is told about a signal."""

    def run_epoch(self) -> None:
        self.runner.model.train()
        for batch in self.dataloader:
            if self._iter == 7:
                terminate()
            self.runner.model.train_step(batch, self.runner.optim_wrapper)
            self._iter += 1
        self._epoch += 1


def ended(folder: Path, *hooks: At, **settings: object) -> int:
    """Exit code of a training in a process of its own, as tools/train.py gives it; negative: the signal's number."""

    def target() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # (ignored, where the tests run in the background)
        torch.set_num_threads(1)
        try:
            train(folder, *hooks, **settings)
        except TrainingStopped:
            os._exit(EX_TEMPFAIL)
        except KeyboardInterrupt:
            os._exit(130)

    process = multiprocessing.get_context('fork').Process(target=target)
    process.start()
    process.join(120)
    return process.exitcode


@pytest.mark.parametrize(('loop', 'saved'), [(Renamed, True), (OwnEpochs, True), (OwnSteps, False)])
def test_loops_of_ones_own(tmp_path: Path, loop: type, saved: bool) -> None:
    """75 promises a checkpoint; where none can be saved, SIGTERM ends the training as it ends any program."""
    hooks = [] if loop is OwnSteps else [At('before_train_iter', 7, terminate)]
    code = ended(tmp_path, *hooks, train_cfg={'type': loop, 'max_epochs': 4, 'val_interval': 10})
    file = tmp_path / 'stopped.pth'
    if saved:
        assert code == EX_TEMPFAIL and find_whole_checkpoint(tmp_path)[0] == str(file)
        assert torch.load(file)['meta']['iter'] == 8
    else:
        assert code == -signal.SIGTERM and not file.exists()


def interrupt(pause: float = 0.0) -> None:
    """Ctrl-C twice."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(pause)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(('pause', 'code'), [(0.0, EX_TEMPFAIL), (1.2, 130)])
def test_a_second_press_ends_at_once(tmp_path: Path, pause: float, code: int) -> None:
    """Two signals of one press (a terminal and torchrun send one each) are one; a second press does not wait."""
    assert ended(tmp_path, At('before_train_iter', 7, lambda: interrupt(pause))) == code
    assert (tmp_path / 'stopped.pth').exists() == (code == EX_TEMPFAIL)


def at_a_terminal(child: Callable[[], object], *presses: tuple[bytes, float]) -> tuple[int, str]:
    """Runs something at a terminal of its own.

    Args:
        child: What is run.
        presses: Each Ctrl-C: a text that has to be on the screen before, and seconds to wait then.

    Returns:
        Its exit code and what it wrote.
    """
    import pty

    process, terminal = pty.fork()
    if not process:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # (ignored, where the tests run in the background)
        try:
            child()
        finally:
            os._exit(70)
    screen, waiting, deadline, status = b'', list(presses), time.monotonic() + 120, None
    while status is None and time.monotonic() < deadline:
        if waiting and waiting[0][0] in screen:
            time.sleep(waiting.pop(0)[1])
            os.write(terminal, b'\x03')
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                read = os.read(terminal, 65536)
            except OSError:  # (how Linux says that nobody writes there any more)
                status = os.waitpid(process, 0)[1]
                break
            screen += read
            continue
        gone, status = os.waitpid(process, os.WNOHANG)
        status = status if gone else None
    if status is None:
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode(errors='replace')


@pytest.mark.parametrize('twice', [False, True])
def test_ctrl_c_at_a_terminal(tmp_path: Path, twice: bool) -> None:
    def step() -> None:
        os.write(1, b'in step 3\n')
        time.sleep(60 if twice else 0.5)

    def child() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        try:
            train(tmp_path, At('before_train_iter', 3, step))
        except TrainingStopped as stopped:
            os.write(1, str(stopped).encode())
            os._exit(EX_TEMPFAIL)
        except KeyboardInterrupt:
            os._exit(130)

    presses = [(b'in step 3', 0.1), (b'Press Ctrl-C again to end at once', 1.2)]
    code, screen = at_a_terminal(child, *presses[: 1 + twice])
    assert code == (130 if twice else EX_TEMPFAIL), screen
    assert (tmp_path / 'stopped.pth').exists() != twice
    assert ('stopped by SIGINT after iteration 4' in screen) != twice


TRAINING = """#!/usr/bin/env bash
# train.py, played: asked to stop, it saves for a while, and ends with 75
trap 'echo saving; sleep {saving}; echo 75 > "${{MMDET_IR_STOPPED_FILE:-/dev/null}}"; exit 75' TERM USR1
trap 'touch {folder}/hit' INT
echo training
for _ in $(seq 1200); do sleep 0.05; done
"""
TORCHRUN = """#!/usr/bin/env bash
trap 'touch {folder}/hit; exit 1' TERM INT
{folder}/train.py & wait
exit 1
"""
SRUN = """#!/usr/bin/env bash
# hands signals on; two SIGINT within a second end what it started
trap 'kill -TERM $CHILD' TERM
trap '[ -z "$ONE" ] || {{ kill -KILL $CHILD; exit 130; }}; ONE=1' INT
{folder}/train.py & CHILD=$!
while CODE=0; wait $CHILD || CODE=$?; kill -0 $CHILD 2>/dev/null; do :; done
exit $CODE
"""


@pytest.mark.parametrize('launcher', ['torchrun', 'srun'])
@pytest.mark.parametrize('twice', [False, True])
def test_ctrl_c_of_a_launched_training(tmp_path: Path, launcher: str, twice: bool) -> None:
    """The key reaches the script alone; it asks the trainings to stop, and at a second one ends them."""
    for name, text in (('train.py', TRAINING), ('torchrun', TORCHRUN), ('srun', SRUN)):
        (tmp_path / name).write_text(text.format(folder=tmp_path, saving=60 if twice else 0.5))
        (tmp_path / name).chmod(0o755)
    commands = {
        'torchrun': ('dist_train.sh', 'config.py', '1'),
        'srun': ('slurm_train.sh', 'part', 'job', 'config.py', str(tmp_path)),
    }
    name, *arguments = commands[launcher]
    environment = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHON': str(tmp_path / 'torchrun'), 'PORT': '29477'}

    def child() -> None:
        os.execve(TOOLS / name, [name, *arguments], {**os.environ, **environment})

    begin = time.monotonic()
    code, screen = at_a_terminal(child, *[(b'training', 0.2), (b'saving', 0.3)][: 1 + twice])
    assert code == (130 if twice else EX_TEMPFAIL), screen
    assert not (tmp_path / 'hit').exists() and time.monotonic() - begin < 30
