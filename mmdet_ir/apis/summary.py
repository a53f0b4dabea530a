"""What a training or a test leaves behind: where everything is, and what to type next."""

import shlex
from datetime import timedelta
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner


def tell_training(runner: Runner, config: str, seconds: float) -> None:
    """Says where the weights and the log of a finished training are.

    Args:
        runner: After ``train()``.
        config: As it was given.
        seconds: How long the training took.
    """
    if not is_main_process():
        return
    took = timedelta(seconds=round(seconds))
    epochs = f' ({runner.epoch} epochs)' if runner.epoch else ''
    lines = [f'The training has ended after {runner.iter} steps{epochs}; this run took {took}.']
    last = Path(runner.work_dir, 'last_checkpoint')
    weights = last.read_text().strip() if last.is_file() else ''
    best = next((_best(hook) for hook in runner.hooks if isinstance(hook, CheckpointHook)), '')
    rows = [('last weights', weights), ('best weights', best), ('log and curves', str(runner.log_dir))]
    lines += [f'  {name:<15} {place}' for name, place in rows if place]
    chosen = best or weights
    if chosen:
        names = shlex.join([str(config), chosen])
        lines.append(f'next: python tools/test.py {names} --show-dir drawn')
        lines.append(f'      python tools/infer.py {names} IMAGES --out found')
    print_log('\n'.join(lines), logger='current')


def _best(hook: CheckpointHook) -> str:
    path = getattr(hook, 'best_ckpt_path', None)
    return str(path) if path and Path(path).is_file() else ''


def tell_test(runner: Runner, config: str, checkpoint: str, out: str | None, show_dir: str | None) -> None:
    """Says where the scores, predictions and pictures of a finished test are.

    Args:
        runner: After ``test()``.
        config: As it was given.
        checkpoint: As it was given.
        out: File of the predictions.
        show_dir: Folder of the pictures.
    """
    if not is_main_process():
        return
    rows = [('log and scores', str(runner.log_dir)), ('predictions', out)]
    if show_dir is not None:
        rows.append(('pictures', str(Path(runner.log_dir, show_dir))))
    lines = ['The test has ended.', *(f'  {name:<15} {place}' for name, place in rows if place)]
    names = shlex.join([str(config), str(checkpoint)])
    lines.append(f'next: python tools/infer.py {names} IMAGES --out found')
    print_log('\n'.join(lines), logger='current')
