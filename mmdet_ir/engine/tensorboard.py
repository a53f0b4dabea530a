"""TensorBoard by a flag: curves and settings of a run, beside its log."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner

NAME = 'TensorboardVisBackend'


def require_tensorboard() -> None:
    """Says how to install TensorBoard where it is missing.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(
            '--tensorboard: expected the package tensorboard, which is not installed: pip install tensorboard '
            '(or the extra: pip install "mmdet_ir[tensorboard]")'
        ) from error


def add_tensorboard(runner: Runner) -> None:
    """Lets the visualizer of a run write for TensorBoard as well.

    The backend is not in the config: what a config computes, and its hash in records, stays the same.

    Args:
        runner: Before ``train()``.
    """
    backends = runner.visualizer._vis_backends
    folder = Path(runner.log_dir, 'vis_data')
    if NAME not in backends and is_main_process():
        backends[NAME] = VISBACKENDS.build({'type': NAME, 'save_dir': str(folder)})
        backends[NAME].add_config(runner.cfg)
    print_log(f'TensorBoard: tensorboard --logdir {runner.work_dir}', logger='current')
