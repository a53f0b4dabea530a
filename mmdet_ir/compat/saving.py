"""Checkpoints of mmengine that are there as a whole or not at all, and are not given up before the next one is.

Stock mmengine 0.10.7 opens the final name for writing, removes the oldest checkpoint before it saves the new one, and
the best one before it saves a better one. A kill or a full disk in between leaves a damaged file, or none.
"""

import functools
from collections import deque
from pathlib import Path

import mmengine.runner
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from ..fileio import OutputError, whole_file, write_text

STOPPED = 'stopped.pth'  # what a training that was asked to stop leaves, until the next checkpoint


def temporary_name(path: str | Path) -> Path:
    """Of a checkpoint that is being written; the same for each attempt, so that kills do not pile up large files."""
    path = Path(path)
    return path.with_name(f'.{path.name}.tmp')


def save_whole(content: dict, path: str | Path) -> None:
    """Saves a checkpoint in a local file.

    Raises:
        OutputError: If it cannot be written; a checkpoint that was there under this name stays.
    """
    try:
        with whole_file(path, temporary_name(path)) as file:
            torch.save(content, file)
    except RuntimeError as error:
        # torch's writer of zip files stumbles once more when it is closed, over what its file object raised.
        reasons = [reason for reason in (error.__context__, error.__cause__) if isinstance(reason, OSError)]
        if not reasons:
            raise
        raise OutputError(f'{path}: cannot be written ({reasons[0].strerror})') from error


def _whole_local_files(stock: object) -> object:
    @functools.wraps(stock)
    def save_checkpoint(
        content: dict, filename: str, file_client_args: dict | None = None, backend_args: dict | None = None
    ) -> None:
        remote = filename.startswith('pavi://') or file_client_args is not None
        if remote or not isinstance(get_file_backend(filename, backend_args=backend_args), LocalBackend):
            stock(content, filename, file_client_args=file_client_args, backend_args=backend_args)
        else:
            save_whole(content, filename)

    return save_checkpoint


def _remove(hook: CheckpointHook, path: str) -> None:
    if not is_main_process():
        return
    if hook.file_backend.isfile(path):
        hook.file_backend.remove(path)
    elif hook.file_backend.isdir(path):  # DeepSpeed saves folders
        hook.file_backend.rmtree(path)


def _save_then_remove(self: CheckpointHook, runner: Runner, step: int, meta: dict | None) -> None:
    """Replaces ``CheckpointHook._save_checkpoint_with_step``.

    ``saved_iter`` is the number of iterations that the checkpoint has behind it. The checkpoint's own list of steps
    still has those removed after it was saved: if a kill comes between, mmengine removes them at the next start.
    """
    steps = list(self.keep_ckpt_ids) if self.max_keep_ckpts > 0 else []
    if self.max_keep_ckpts > 0:
        if step not in steps[-1:]:
            steps.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(steps))
    name = self.filename_tmpl.format(step)
    self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
    self.saved_iter = meta['iter'] if meta else runner.iter + (0 if self.by_epoch else 1)
    runner.message_hub.update_info('last_ckpt', self.last_ckpt)
    runner.save_checkpoint(
        self.out_dir,
        name,
        self.file_client_args,
        save_optimizer=self.save_optimizer,
        save_param_scheduler=self.save_param_scheduler,
        meta=meta,
        by_epoch=self.by_epoch,
        backend_args=self.backend_args,
        **self.args,
    )
    if is_main_process():
        write_text(Path(runner.work_dir, 'last_checkpoint'), str(self.last_ckpt))
        Path(runner.work_dir, STOPPED).unlink(missing_ok=True)
    if self.max_keep_ckpts > 0:
        for old in steps[: -self.max_keep_ckpts]:
            _remove(self, self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))
        self.keep_ckpt_ids = deque(steps, self.max_keep_ckpts)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))


def _keeping_the_best(stock: object) -> object:
    """Hides the best checkpoints so far from the stock method, which would remove them first; removes them after."""

    @functools.wraps(stock)
    def _save_best_checkpoint(self: CheckpointHook, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if len(self.key_indicators) == 1:
            before, self.best_ckpt_path = {'': self.best_ckpt_path}, None
        else:
            before, self.best_ckpt_path_dict = self.best_ckpt_path_dict, dict.fromkeys(self.key_indicators)
        stock(self, runner, metrics)
        if len(self.key_indicators) == 1:
            now = {'': self.best_ckpt_path or before['']}
            self.best_ckpt_path = now['']
        else:
            now = {key: path or before.get(key) for key, path in self.best_ckpt_path_dict.items()}
            self.best_ckpt_path_dict = now
        for path in set(filter(None, before.values())) - set(now.values()):
            _remove(self, path)

    return _save_best_checkpoint


def keep_checkpoints_whole() -> None:
    """Makes mmengine write whole files, and remove old ones only after that."""
    whole = _whole_local_files(mmengine.runner.save_checkpoint)
    for module in (mmengine.runner, mmengine.runner.runner, mmengine.runner.checkpoint):
        module.save_checkpoint = whole
    CheckpointHook._save_checkpoint_with_step = _save_then_remove
    CheckpointHook._save_best_checkpoint = _keeping_the_best(CheckpointHook._save_best_checkpoint)
