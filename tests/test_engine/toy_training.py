"""A training of milliseconds in which everything that a resumed one can get wrong changes the weights."""

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from mmdet_ir.engine import StopRequest, TrainingStopped, find_whole_checkpoint, make_resumable

import numpy as np
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

NAMES = count()


@DATASETS.register_module(force=True)
class NoisyLine(Dataset):
    """Samples of a line, with noise from all three generators in training."""

    def __init__(self, length: int = 10, noisy: bool = True) -> None:
        self.length, self.noisy = length, noisy

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = self.noisy and random.random() + np.random.rand() + torch.rand(1).item()  # noqa: NPY002
        return torch.tensor([float(index), noise]), torch.tensor([2.0 * index])


class Net(BaseModel):
    """With BatchNorm statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor, mode: str) -> dict | list:
        out = self.layers(inputs)
        if mode == 'loss':
            return {'loss': (out - targets).pow(2).mean()}
        return list((out - targets).abs())


@METRICS.register_module(force=True)
class ToyScore(BaseMetric):
    """A score that is better after some validations and worse after others."""

    def process(self, data_batch: object, data_samples: list) -> None:
        self.results += [float(sample) for sample in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {'score': float(np.sin(1e3 * sum(results)))}


class At(Hook):
    """Does something when the training is in a stage of an iteration or epoch (counted from 0, without epochs too)."""

    def __init__(self, stage: str, number: int, action: Callable[[], None]) -> None:
        def act(runner: Runner, **kwargs: object) -> None:
            if number == (runner.iter if stage.endswith('train_iter') or runner.max_epochs == 1 else runner.epoch):
                action()

        setattr(self, stage, act)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def terminate_all() -> None:
    """As a scheduler does: another process signals every one of the training's, loader workers first."""
    workers = [process.pid for process in multiprocessing.active_children()]
    subprocess.run(['sh', '-c', 'kill -TERM "$@"', 'sh', *map(str, workers), str(os.getpid())], check=True)
    time.sleep(0.5)  # a worker that ends would be noticed


def build(work_dir: Path, *hooks: Hook, by_epoch: bool = True, workers: int = 0, seed: int = 0, **settings) -> Runner:
    """A runner of 4 epochs of 5 batches or, without epochs, of 20 iterations."""
    loader = {
        'batch_size': 2,
        'num_workers': workers,
        'persistent_workers': workers > 0,
        'dataset': {'type': 'NoisyLine'},
        'sampler': {'type': 'DefaultSampler' if by_epoch else 'InfiniteSampler', 'shuffle': True},
        'collate_fn': {'type': 'default_collate'},
    }
    steps = {'by_epoch': True, 'max_epochs': 4, 'val_interval': 1}
    if not by_epoch:
        steps = {'by_epoch': False, 'max_iters': 20, 'val_interval': 5}
    save = {'type': 'CheckpointHook', 'interval': 1 if by_epoch else 5, 'by_epoch': by_epoch, 'max_keep_ckpts': 2}
    config = {
        'model': Net(),
        'work_dir': str(work_dir),
        'train_dataloader': loader | settings.pop('loader', {}),
        'val_dataloader': loader
        | {'sampler': {'type': 'DefaultSampler', 'shuffle': False}, 'dataset': {'type': 'NoisyLine', 'noisy': False}},
        'train_cfg': steps,
        'val_cfg': {},
        'val_evaluator': {'type': 'ToyScore'},
        'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 0.1}},
        'param_scheduler': [
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 7},
            {'type': 'ReduceOnPlateauLR', 'monitor': 'score', 'rule': 'greater', 'patience': 0},
        ],
        'default_hooks': {'checkpoint': save | {'save_best': 'score', 'rule': 'greater'}},
        'custom_hooks': [{'type': 'EMAHook'}, *hooks],
        'randomness': {'seed': seed},
        'default_scope': 'mmdet',
        'experiment_name': f'toy{next(NAMES)}',
        'log_level': 'ERROR',
    }
    return Runner(**config | settings)


def train(work_dir: Path, *hooks: Hook, **settings: object) -> Runner:
    """Trains to the end, as ``tools/train.py`` does; with ``resume`` from the checkpoint that it finds."""
    if settings.get('resume'):
        settings['load_from'] = find_whole_checkpoint(work_dir)[0]
    torch.manual_seed(5)  # the first weights
    with StopRequest() as stop:
        runner = build(work_dir, *hooks, **settings)
        make_resumable(runner, stop)
        runner.train()
    return runner


def in_child(work_dir: Path, *hooks: Hook, make: Callable[..., Runner] = train, **settings: object) -> dict | str:
    """Trains in a process of its own, which can be killed.

    Returns:
        What it has learned, see :func:`state`; or what it said when it stopped; or ``'killed'``.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    outcome = work_dir / 'outcome.pt'
    outcome.unlink(missing_ok=True)

    def target() -> None:
        torch.set_num_threads(1)  # threads of the parent's pool are not there after a fork: work for them would hang
        try:
            torch.save(state(make(work_dir, *hooks, **settings)), outcome)
        except TrainingStopped as stopped:
            torch.save(str(stopped), outcome)

    process = multiprocessing.get_context('fork').Process(target=target)
    process.start()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return 'killed'
    assert process.exitcode == 0
    return torch.load(outcome)


def state(runner: Runner) -> dict[str, torch.Tensor]:
    """All that a training has learned: weights, their average, moments, learning rate, best score."""
    averaged = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model
    found = {f'model.{name}': value for name, value in runner.model.state_dict().items()}
    found |= {f'ema.{name}': value for name, value in averaged.state_dict().items()}
    for number, slots in runner.optim_wrapper.state_dict()['state'].items():
        found |= {f'optimizer.{number}.{name}': torch.as_tensor(value) for name, value in slots.items()}
    found['lr'] = torch.tensor(runner.optim_wrapper.get_lr()['lr'], dtype=torch.float64)
    found['best'] = torch.tensor(runner.message_hub.get_info('best_score'), dtype=torch.float64)
    return found


def differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """Names of what is not the same to the last bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]
