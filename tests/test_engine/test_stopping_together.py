"""Several processes stop in the same iteration, though only one of them was asked to, and go on to the same end."""

import multiprocessing
import os
import socket
from pathlib import Path

from mmdet_ir.engine import TrainingStopped

import pytest
import torch
from toy_training import At, differences, state, terminate, train


def member(rank: int, port: int, folder: Path, asked: int | None, resume: bool) -> None:
    """One of two processes; the second gets a signal before an iteration. It notes where it stopped, or its end."""
    torch.set_num_threads(1)  # threads of the parent's pool are not there after a fork: work for them would hang
    os.environ |= {'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': '2'}
    os.environ |= {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}
    hooks = []
    if rank == 1 and asked is not None:
        hooks.append(At('before_train_iter', asked, terminate))
    settings = {'resume': resume}
    # Schedules that look at scores are left out, see below.
    settings['param_scheduler'] = {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 7}
    settings |= {
        'env_cfg': {'dist_cfg': {'backend': 'gloo'}},
        'loader': {'dataset': {'type': 'NoisyLine', 'length': 12}},
    }
    try:
        runner = train(folder, *hooks, launcher='pytorch', **settings)
        torch.save(state(runner), folder / f'end{rank}.pt')
    except TrainingStopped as stopped:
        (folder / f'stopped{rank}').write_text(str(stopped))
    torch.distributed.destroy_process_group()


def run_two(folder: Path, asked: int | None = None, resume: bool = False) -> None:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    fork = multiprocessing.get_context('fork')
    members = [fork.Process(target=member, args=(rank, port, folder, asked, resume)) for rank in range(2)]
    for process in members:
        process.start()
    for process in members:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in members] == [0, 0]


def learned(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the running statistics: each process has its own, and the checkpoint has those of the first.

    Scores depend on them, weights do not.
    """
    return {name: value for name, value in values.items() if '.running_' not in name and name != 'best'}


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_two_processes_stop_together_and_end_the_same(tmp_path: Path) -> None:
    alone, run = tmp_path / 'alone', tmp_path / 'run'
    for folder in (alone, run):
        folder.mkdir()
    run_two(alone)
    run_two(run, asked=7)
    notes = [(run / f'stopped{rank}').read_text() for rank in range(2)]
    assert all('after iteration 8;' in note for note in notes)
    assert notes[1].startswith('stopped by SIGTERM') and notes[0].startswith('stopped by a signal to another process')
    run_two(run, resume=True)
    for rank in range(2):
        ends = [learned(torch.load(folder / f'end{rank}.pt')) for folder in (alone, run)]
        assert differences(*ends) == []
