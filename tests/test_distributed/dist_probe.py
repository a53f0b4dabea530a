"""Imported by the trainings under test: notes the losses of each process, or lets one of them fail."""

import json
import os
import signal
import time
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

VICTIM, ITERATION = 1, 2  # the process that fails, and when, counted from 0


@HOOKS.register_module()
class ProbeHook(Hook):
    """Writes ``losses_<rank>.jsonl``; ``failure`` is None, ``'kill'``, ``'raise'`` or ``'nan'``."""

    def __init__(self, failure: str | None = None) -> None:
        self.failure = failure

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.failure is None or get_rank() != VICTIM or runner.iter != ITERATION:
            return
        Path(runner.work_dir, 'failed_at.txt').write_text(str(time.time()))
        if self.failure == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        if self.failure == 'raise':
            raise RuntimeError('the reason of process 1')
        data_batch['inputs'] = [torch.full(image.shape, torch.nan) for image in data_batch['inputs']]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        line = json.dumps({name: float(value) for name, value in outputs.items()})
        with Path(runner.work_dir, f'losses_{get_rank()}.jsonl').open('a') as file:
            file.write(line + '\n')
