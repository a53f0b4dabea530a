"""A training that was interrupted ends as the one left alone: to the last bit, wherever it was interrupted."""

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path

from mmdet_ir.apis import launch
from mmdet_ir.compat.checkpoint import read_header
from mmdet_ir.engine import StopRequest, find_whole_checkpoint, resuming

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_training import At, build, differences, in_child, kill, terminate, terminate_all, train

senders_are_told = pytest.mark.skipif(not hasattr(signal, 'sigwaitinfo'), reason='needs the sender of a signal')


@pytest.fixture(scope='module')
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, torch.Tensor]]:
    """What a training has learned that nobody disturbed; by whether it has epochs."""
    return {by_epoch: in_child(tmp_path_factory.mktemp('alone'), by_epoch=by_epoch) for by_epoch in (True, False)}


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('workers', [0, 2])
def test_killed_in_a_step_it_ends_the_same(tmp_path: Path, left_alone: dict, by_epoch: bool, workers: int) -> None:
    """Persistent workers that load ahead, and another number of them than in the run left alone, change nothing."""
    assert in_child(tmp_path, At('after_train_iter', 12, kill), by_epoch=by_epoch, workers=workers) == 'killed'
    after = in_child(tmp_path, by_epoch=by_epoch, workers=workers, resume=True)
    assert differences(after, left_alone[by_epoch]) == []


@pytest.mark.parametrize('by_epoch', [True, False])
def test_killed_in_validation_it_validates_again(tmp_path: Path, left_alone: dict, by_epoch: bool) -> None:
    """Else the best score, and the learning rate that follows the scores, would miss one."""
    at = At('before_val_epoch', 2 if by_epoch else 10, kill)
    assert in_child(tmp_path, at, by_epoch=by_epoch) == 'killed'
    assert differences(in_child(tmp_path, by_epoch=by_epoch, resume=True), left_alone[by_epoch]) == []


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('iteration', [0, 6, 9, 19])
def test_asked_to_stop_it_goes_on_from_there(tmp_path: Path, left_alone: dict, by_epoch: bool, iteration: int) -> None:
    """In the middle of an epoch, after its last step and after the last step of all, also where it was just saved."""
    at = At('before_train_iter', iteration, terminate)
    said = in_child(tmp_path, at, by_epoch=by_epoch, workers=2 if iteration == 6 else 0)
    path = tmp_path / 'stopped.pth'
    assert said == f'stopped by SIGTERM after iteration {iteration + 1}; --resume goes on from {path}'
    assert Path((tmp_path / 'last_checkpoint').read_text()) == path and read_header(path)['meta']
    again = At('before_train_iter', iteration, kill)  # steps that are behind it are not made again
    assert differences(in_child(tmp_path, again, by_epoch=by_epoch, resume=True), left_alone[by_epoch]) == []
    at_the_end = not by_epoch and iteration == 19  # nothing is left to do, and no other checkpoint takes its place
    assert path.exists() == at_the_end


@senders_are_told
@pytest.mark.parametrize('by_epoch', [True, False])
def test_workers_that_are_asked_to_stop_go_on_loading(tmp_path: Path, left_alone: dict, by_epoch: bool) -> None:
    """A scheduler signals all processes of a job; torch's loader workers would end, and the training with an error."""
    said = in_child(tmp_path, At('before_train_iter', 6, terminate_all), by_epoch=by_epoch, workers=2)
    assert said == f'stopped by SIGTERM after iteration 7; --resume goes on from {tmp_path}/stopped.pth'
    assert differences(in_child(tmp_path, by_epoch=by_epoch, resume=True), left_alone[by_epoch]) == []


@senders_are_told
def test_workers_end_with_their_training(tmp_path: Path) -> None:
    """Though they let a scheduler's SIGTERM pass: by that of their parent, which torch sends to one that hangs."""
    with StopRequest():
        worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
        worker.start()
        subprocess.run(['sh', '-c', f'kill -TERM {worker.pid}'], check=True)
        worker.join(1)
        assert worker.is_alive()
        worker.terminate()
        worker.join(10)
    assert worker.exitcode == 0


def test_asked_to_stop_in_validation_it_does_not_wait_for_the_end(tmp_path: Path, left_alone: dict) -> None:
    hooks = At('before_val_iter', 2, terminate), At('after_val_epoch', 2, kill)
    said = in_child(tmp_path, *hooks)
    assert said == f'stopped by SIGTERM after iteration 10; --resume goes on from {tmp_path}/stopped.pth'
    assert (tmp_path / 'stopped.pth').read_bytes() == (tmp_path / 'epoch_2.pth').read_bytes()
    assert differences(in_child(tmp_path, resume=True), left_alone[True]) == []


def test_a_stop_waits_for_gradients_that_are_summed_up(tmp_path: Path) -> None:
    settings = {'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 0.1}, 'accumulative_counts': 4}}
    settings['by_epoch'] = False
    alone = in_child(tmp_path / 'alone', **settings)
    said = in_child(tmp_path / 'run', At('before_train_iter', 5, terminate), **settings)
    assert 'after iteration 8;' in said
    assert differences(in_child(tmp_path / 'run', **settings, resume=True), alone) == []


def test_an_epoch_of_another_length_goes_on_in_proportion(tmp_path: Path) -> None:
    assert 'after iteration 4;' in in_child(tmp_path, At('before_train_iter', 3, terminate))  # of 5
    places, hook = [], At('before_train_iter', -1, kill)

    def note(runner: Runner, batch_idx: int, data_batch: object) -> None:
        places.append((runner.epoch, batch_idx))

    hook.before_train_iter = note
    train(tmp_path, hook, resume=True, loader={'dataset': {'type': 'NoisyLine', 'length': 20}})
    assert places[:3] == [(0, 8), (0, 9), (1, 0)]


def test_the_seed_of_a_run_is_kept(tmp_path: Path) -> None:
    """``--resume`` without ``--seed`` goes on with the seed of the run, in its order of samples."""
    meta = {'seed': 3}
    for seed, expected in ((None, 3), (5, 3), (3, 3)):
        cfg = Config({'randomness': {'seed': 0}})
        launch._set_randomness(cfg, seed, False, meta)
        assert cfg.randomness.seed == expected
    cfg = Config({'randomness': {'seed': 0}})
    launch._set_randomness(cfg, None, False, {})
    assert cfg.randomness == {'seed': 0}


def test_a_seed_leaves_the_choice_of_the_config_to_be_deterministic() -> None:
    cfg = Config({'randomness': {'seed': 0, 'deterministic': True}})
    launch._set_randomness(cfg, 3, False, {})
    assert cfg.randomness == {'seed': 3, 'deterministic': True}
    for flag in (False, True):
        cfg = Config({'randomness': {'seed': 0}})
        launch._set_randomness(cfg, 3, flag, {})
        assert cfg.randomness == {'seed': 3, 'deterministic': flag}


def test_signals_are_the_process_s_own_again_afterwards(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.signal is signal.SIGUSR1
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_a_worker_lets_the_signal_pass(number: signal.Signals) -> None:
    with StopRequest() as stop:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), number)
            os._exit(7 if stop.signal is None else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_mmengine_alone_does_not_end_the_same(tmp_path: Path) -> None:
    """Else the tests above could not fail."""

    def stock(folder: Path, *hooks: At, **settings: object) -> Runner:
        torch.manual_seed(5)
        runner = build(folder, *hooks, **settings)
        runner.train()
        return runner

    alone = in_child(tmp_path / 'alone', make=stock)
    assert in_child(tmp_path / 'run', At('after_train_iter', 12, kill), make=stock) == 'killed'
    assert differences(in_child(tmp_path / 'run', make=stock, resume=True), alone)


@pytest.mark.parametrize('garbage', [b'', b'garbage', 'truncated', 'flipped'])
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, left_alone: dict, garbage: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_child(tmp_path, At('after_train_iter', 12, kill)) == 'killed'
    latest = tmp_path / 'epoch_2.pth'
    content = latest.read_bytes()
    if garbage == 'truncated':
        garbage = content[: len(content) // 2]
    elif garbage == 'flipped':  # in a tensor: torch loads it without a word
        place = content.index(b'data/0') + 200
        garbage = content[:place] + bytes(byte ^ 255 for byte in content[place : place + 4]) + content[place + 4 :]
    latest.write_bytes(garbage)
    lines = []
    monkeypatch.setattr(resuming, 'print_log', lambda message, *to: lines.append(message))
    found = find_whole_checkpoint(tmp_path)
    assert found is not None and Path(found[0]).name == 'epoch_1.pth'
    assert len(lines) == 1
    assert lines[0].startswith(f'Going on from {found[0]} instead of newer files: {latest}: ')
    assert differences(in_child(tmp_path, resume=True), left_alone[True]) == []


def test_what_last_checkpoint_names_comes_first_then_the_newest(tmp_path: Path) -> None:
    assert in_child(tmp_path, At('after_train_iter', 17, kill)) == 'killed'
    os.utime(tmp_path / 'epoch_2.pth')
    (tmp_path / 'moved').mkdir()
    for path in [*tmp_path.glob('*.pth'), tmp_path / 'last_checkpoint']:
        path.rename(tmp_path / 'moved' / path.name)
    assert Path(find_whole_checkpoint(tmp_path / 'moved')[0]).name == 'epoch_3.pth'
    (tmp_path / 'moved' / 'last_checkpoint').write_bytes(b'')
    assert Path(find_whole_checkpoint(tmp_path / 'moved')[0]).name == 'epoch_2.pth'
    for path in (tmp_path / 'moved').glob('epoch_*.pth'):
        path.unlink()
    assert find_whole_checkpoint(tmp_path / 'moved') is None  # the best weights have no optimiser
