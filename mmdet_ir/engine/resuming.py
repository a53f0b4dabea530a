"""Training that survives being killed or asked to stop: where it goes on, and how it stops."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import torch
from mmengine.dist import all_gather, all_reduce, barrier, get_world_size, is_main_process
from mmengine.fileio import get
from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import Runner

from ..compat.checkpoint import CheckpointError, read_header
from ..compat.saving import STOPPED, temporary_name
from ..config.types import type_name
from ..fileio import whole_file, write_text
from .loops import ResumableEpochLoop, ResumableIterLoop, resumable
from .stopping import StopRequest, TrainingStopped


def _candidates(work_dir: Path) -> Iterator[tuple[Path, bool]]:
    """Checkpoints to go on from, best first, and whether ``last_checkpoint`` names it."""
    folders, named = [work_dir], None
    pointer = work_dir / 'last_checkpoint'
    if pointer.is_file():
        target = Path(pointer.read_text(encoding='utf-8', errors='replace').strip().replace('\0', ''))
        # A run's folder may have been moved, with what it holds.
        named = next((path for path in (target, work_dir / target.name) if target.name and path.is_file()), None)
        if named is not None:
            yield named, True
            folders += [named.parent] if named.parent.resolve() != work_dir.resolve() else []
    others = [path for folder in folders for path in folder.glob('*.pth') if path != named]
    for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        yield path, False


def find_whole_checkpoint(work_dir: str | Path) -> tuple[str, dict] | None:
    """The checkpoint that ``--resume`` goes on from: the one that ``last_checkpoint`` names, else the newest.

    One that is cut off or damaged is passed over, with a warning in the log.

    Returns:
        Its name and ``meta``; ``None`` if there is none that is whole.

    Example:
        >>> from mmdet_ir.engine import find_whole_checkpoint
        >>> find_whole_checkpoint('no_such_run') is None
        True
    """
    passed = []
    for path, named in _candidates(Path(work_dir)):
        try:
            header = read_header(path)
        except (CheckpointError, FileNotFoundError) as error:
            passed.append(str(error))
            continue
        if named or 'optimizer' in header['keys']:  # the best weights alone are nothing to go on from
            if passed:
                print_log(
                    f'Going on from {path} instead of newer files: {"; ".join(passed)}', 'current', logging.WARNING
                )
            return str(path), header['meta']
    if passed:
        print_log(f'No whole checkpoint in {work_dir}: {"; ".join(passed)}', 'current', logging.WARNING)
    return None


class ResumeHook(Hook):
    """Goes on where a checkpoint was saved, and stops when asked to. It runs after all other hooks.

    A checkpoint in the middle of an epoch gets the number of batches behind it. Validation that was due between a
    checkpoint and the iteration after it is done when a training goes on from there, since it may have been cut short;
    it decides about the best checkpoint and about schedulers that look at scores.

    A loop that is not one of :mod:`.loops` stops likewise if it calls ``after_train_iter``, and goes on as mmengine
    does: at the beginning of an epoch.

    Args:
        stop: Tells whether to stop.
    """

    priority = 'LOWEST'

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop
        self.validating = self.resumed = self.validated = False

    def before_train(self, runner: Runner) -> None:
        """Removes what kills left, and validates if that is due.

        Raises:
            ValueError: If processes start from different iterations.
        """
        if is_main_process():
            for folder in _checkpoint_folders(runner):
                for path in folder.glob(temporary_name('*.pth').name):
                    path.unlink(missing_ok=True)
        iterations = [int(count) for count in all_gather(torch.tensor(runner.iter))]
        if len(set(iterations)) > 1:
            raise ValueError(
                f'{runner.work_dir}: expected all processes to start from one iteration, got {iterations}; '
                'they have to see the same checkpoints'
            )
        if self.resumed and not self.validated and _is_ours(runner) and runner.train_loop.validation_is_due():
            runner.logger.info(f'Validating what the checkpoint holds (epoch {runner.epoch}, iteration {runner.iter})')
            # As after a step, whose number the metric adds one to: mmengine has announced the step to come already.
            runner.message_hub.update_info('iter', runner.iter - 1)
            runner.val_loop.run()

    def before_val_epoch(self, runner: Runner) -> None:
        self.validating = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.validating = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Notes the position in the epoch, and whether validation at this point is done."""
        meta, loop = checkpoint['meta'], runner.train_loop
        within_a_step = meta['iter'] == runner.iter + 1 and meta['epoch'] == runner.epoch  # in an iteration's hooks
        if _is_ours(runner) and within_a_step:
            meta['batch'], meta['batches'] = loop.done, len(loop.dataloader)
        meta['validated'] = self.validating

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        meta, loop = checkpoint['meta'], runner.train_loop
        self.resumed, self.validated = True, meta.get('validated', False)
        if isinstance(loop, ResumableEpochLoop):
            done, batches = meta.get('batch', 0), len(loop.dataloader)
            loop.first_batch = done
            if done and meta['batches'] != batches:
                loop.first_batch = done * batches // meta['batches']
                runner.logger.warning(
                    f'The epoch has {batches} batches now and had {meta["batches"]} (other data, batch size or number '
                    f'of processes): going on at batch {loop.first_batch}, to another end than an uninterrupted run'
                )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Saves and stops if any process was asked to.

        Raises:
            TrainingStopped: If so.
        """
        self.stop.attend(True)
        asked = self.stop.signal is not None
        if get_world_size() > 1:  # all have to stop in the same iteration
            flag = torch.tensor(int(asked))
            all_reduce(flag, 'max')
            asked = bool(flag)
        # Gradients that are still being summed up are not in a checkpoint.
        if not asked or not getattr(runner.optim_wrapper, 'should_update', lambda: True)():
            return
        _log_iteration(runner, batch_idx)
        saved = self._saved(runner, runner.iter + 1)
        if saved is None:
            runner.save_checkpoint(runner.work_dir, STOPPED, by_epoch=False)
        path = _promise(runner, saved)
        barrier()
        self._leave(runner.iter + 1, path)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Stops during validation, without saving, if a checkpoint of these weights is on the disk already.

        Raises:
            TrainingStopped: If so.
        """
        saved = self._saved(runner, runner.iter)
        if self.stop.signal is not None and saved is not None:
            self._leave(runner.iter, _promise(runner, saved))

    def _saved(self, runner: Runner, iteration: int) -> str | None:
        """The checkpoint of an iteration, if it was the last that was saved."""
        hooks = _hooks(runner, CheckpointHook)
        return next((hook.last_ckpt for hook in hooks if getattr(hook, 'saved_iter', None) == iteration), None)

    def _leave(self, iteration: int, path: Path) -> NoReturn:
        name = self.stop.signal.name if self.stop.signal is not None else 'a signal to another process'
        raise TrainingStopped(f'stopped by {name} after iteration {iteration}; --resume goes on from {path}')


def _promise(runner: Runner, saved: str | None) -> Path:
    """Sees to it that ``stopped.pth`` is there and whole, a copy of what was just saved under another name if any."""
    path = Path(runner.work_dir, STOPPED)
    if is_main_process():
        if saved is not None:
            with whole_file(path, temporary_name(path)) as file:
                file.write(get(saved))
        read_header(path)  # all of it is on the disk, or nothing is promised
        write_text(Path(runner.work_dir, 'last_checkpoint'), str(path))
    return path


def _hooks(runner: Runner, kind: type) -> list:
    return [hook for hook in runner.hooks if isinstance(hook, kind)]


def _is_ours(runner: Runner) -> bool:
    return isinstance(runner.train_loop, ResumableEpochLoop | ResumableIterLoop)


def _checkpoint_folders(runner: Runner) -> set[Path]:
    folders = {str(hook.out_dir) for hook in _hooks(runner, CheckpointHook)} | {runner.work_dir}
    return {Path(folder) for folder in folders if '://' not in folder}


def _log_iteration(runner: Runner, batch_idx: int) -> None:
    """Logs an iteration outside the interval: records need a line of each session that trained."""
    tag, text = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')
    runner.logger.info(text)
    for hook in _hooks(runner, LoggerHook):
        runner.visualizer.add_scalars(tag, step=runner.iter + 1, file_path=hook.json_log_path)


def make_resumable(runner: Runner, stop: StopRequest) -> None:
    """Gives a runner that is about to train the loop and the hook of this module.

    They are not in its config: what a config computes, and so its hash in records, stays the same.

    Args:
        runner: Before ``train()``.
        stop: Tells it when to stop.
    """
    settings = dict(runner._train_loop)
    if 'by_epoch' in settings:
        settings['type'] = 'EpochBasedTrainLoop' if settings.pop('by_epoch') else 'IterBasedTrainLoop'
    named = settings.get('type')
    kind = LOOPS.get(named) if isinstance(named, str) else named
    ours = resumable(kind) if isinstance(kind, type) and isinstance(runner._train_dataloader, dict) else None
    runner.register_hook(ResumeHook(stop))
    if ours is not None:
        runner._train_loop = settings | {'type': ours}
        return
    stop.attend(False)  # until the loop has called the hook: a loop of the user's own may call none
    runner.logger.warning(
        f"train_cfg.type={type_name(named)!r} cannot start in the middle of an epoch: expected mmengine's "
        'EpochBasedTrainLoop or IterBasedTrainLoop, or a subclass that leaves run_epoch, or run, as it is. Asked to '
        'stop, it saves if it calls the hooks of a step, and --resume begins the epoch anew'
    )
