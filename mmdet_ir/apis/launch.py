"""Training and testing from a config, with the options of MMDetection's tools."""

import contextlib
import errno
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from mmdet.registry import RUNNERS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from ..binary_masks import check_mask_thresholds
from ..compat.amp import MAX_SLOWDOWN, bfloat16_slowdown, keep_rois_in_float32
from ..compat.checkpoint import read_header
from ..config.extra_hooks import take_extra_hooks
from ..config.lengths import set_batch_size, set_epochs, set_learning_rate
from ..config.options import read_config
from ..config.random_start import start_from_random_weights
from ..config.types import type_name
from ..engine import (
    StopRequest,
    add_fitting_checks,
    add_invalid_loss_hook,
    find_whole_checkpoint,
    make_resumable,
    require_checkpoint,
)
from ..engine.remaining_time import add_remaining_time
from ..engine.schedules import ResumedScheduleHook
from ..engine.tensorboard import add_tensorboard, require_tensorboard
from ..evaluation.dump import DumpBinaryMasks
from ..fileio import OutputError
from ..model_zoo import config_file
from .memory import gpu_memory_errors, small_map_errors
from .preflight import check_before_testing, check_before_training
from .summary import tell_test, tell_training
from .tta import check_tta, set_tta

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


def load_config(
    config: str, cfg_options: dict | None = None, work_dir: str | None = None, launcher: str = 'none'
) -> Config:
    """Reads a config and merges what the command line says.

    Args:
        config: File name, or the name of a model that comes with the package.
        cfg_options: Dotted keys and their values.
        work_dir: Folder of the outputs; default is the config's, then ``work_dirs/NAME_OF_CONFIG``.
        launcher: One of ``none``, ``pytorch``, ``slurm``, ``mpi``.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: For an option that would change nothing.

    Example:
        >>> from mmdet_ir.apis import load_config
        >>> load_config('config.py', {'train_cfg.max_epochs': 7}).train_cfg.max_epochs
        7
    """
    name, config = config, config_file(config)
    if not Path(config).is_file():
        raise FileNotFoundError(f'config not found: expected a file, got {config!r}')
    cfg = take_extra_hooks(read_config(config, cfg_options))
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(name).stem))
    return cfg


def use_mixed_precision(cfg: Config) -> None:
    """Sets the optimiser wrapper: float16 with dynamic loss scale on a GPU, bfloat16 on the CPU.

    On a CPU without instructions for bfloat16, where a step of the demo takes 8.3 seconds instead of 1.1, a
    warning says so, and the training is in float32; where the config itself names ``Bf16OptimWrapper``,
    it stays.

    Raises:
        ValueError: When the config has a wrapper of another kind.
    """
    wrapper = cfg.optim_wrapper
    known = ('OptimWrapper', 'AmpOptimWrapper', 'Bf16OptimWrapper')
    kind = type_name(wrapper) or 'OptimWrapper'
    if kind not in known:
        raise ValueError(f'--amp: expected optim_wrapper.type to be one of {known}, got {kind!r}')
    if get_device() == 'cpu':
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(key, None)
        slowdown = bfloat16_slowdown()
        if slowdown <= MAX_SLOWDOWN:
            wrapper.type = 'Bf16OptimWrapper'
            print_log('Mixed precision on the CPU: bfloat16, without loss scaling', logger='current')
            return
        slow = f'this CPU has no instructions for bfloat16: a convolution takes {slowdown:.1f} times as long'
        if kind == 'Bf16OptimWrapper':
            remedy = "this training is slow; optim_wrapper.type='OptimWrapper' trains in float32"
        else:
            wrapper.type = 'OptimWrapper'
            remedy = 'this training is in float32'
        print_log(f'Mixed precision: {slow}; {remedy}', logger='current', level=logging.WARNING)
    elif kind != 'Bf16OptimWrapper':
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


_FLAGS = {
    'load_from': ('load_from',),
    'epochs': ('train_cfg.max_epochs', 'max_epochs'),
    'batch_size': ('train_dataloader.batch_size', 'batch_size'),
    'lr': ('optim_wrapper.optimizer.lr',),
}


def _set_flags(
    cfg: Config, config: str, load_from: str | None, given: dict[str, float | None], options: dict | None
) -> None:
    """Sets what ``--load-from``, ``--epochs``, ``--batch-size`` and ``--lr`` say, wherever the config uses it."""
    chosen = {name: value for name, value in {'load_from': load_from, **given}.items() if value is not None}
    for name in chosen:
        twice = [key for key in _FLAGS[name] if key in (options or {})]
        if twice:
            raise ValueError(f'--{name.replace("_", "-")}: expected one setting, got --cfg-options {twice[0]} as well')
    if load_from == 'none':
        changed = start_from_random_weights(cfg)
        print_log(f'--load-from none: {", ".join(changed) or "the config has random weights anyway"}', 'current')
    elif load_from is not None:
        cfg.load_from = load_from
    setters = {'epochs': set_epochs, 'batch_size': set_batch_size, 'lr': set_learning_rate}
    for name, setter in setters.items():
        if name in chosen:
            try:
                setter(cfg, chosen[name])
            except ValueError as error:
                raise ValueError(f'{config}: --{name.replace("_", "-")}: {error}') from error


def _set_resume(cfg: Config, resume: str) -> dict:
    """Sets what to go on from; returns the checkpoint's ``meta``, or nothing without one."""
    if resume != 'auto':
        cfg.resume, cfg.load_from = True, require_checkpoint(resume)
        if '://' in resume:
            return {}
        header = read_header(cfg.load_from)
        if 'optimizer' not in header['keys']:
            raise ValueError(
                f'--resume {resume}: holds no state of an optimiser, so that no training can go on from it; start '
                f'from its weights with --load-from {resume}'
            )
        return header['meta']
    found = find_whole_checkpoint(cfg.work_dir)
    if found is None:
        # Nothing to resume yet: a first run with --resume still starts from the config's pretrained weights.
        cfg.resume = False
        print_log(f'Nothing to resume in {cfg.work_dir}: starting from the beginning', logger='current')
        return {}
    cfg.resume, (cfg.load_from, meta) = True, found
    return meta


def _set_randomness(cfg: Config, seed: int | None, deterministic: bool, meta: dict) -> None:
    randomness = dict(cfg.get('randomness', {}))
    if deterministic:
        randomness['deterministic'] = True
    elif seed is not None:
        randomness.setdefault('deterministic', False)
    if seed is not None:
        randomness['seed'] = seed
    if meta.get('seed') is not None:
        if seed not in (None, meta['seed']):
            print_log(f'--seed {seed}: the training goes on with its own, {meta["seed"]}', 'current', logging.WARNING)
        randomness['seed'] = meta['seed']  # before anything is built: samplers take it then
    if randomness:
        cfg.randomness = randomness


@contextlib.contextmanager
def _output_errors(work_dir: str) -> Iterator[None]:
    """Turns what the system says about a disk or a folder into a message for the user."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise OutputError(f'{error.filename or work_dir}: {error.strerror} (outputs go to {work_dir})') from error


def _forget_visualizer(cfg: Config) -> None:
    """MMEngine hands a visualizer of the same name on, which would write this run's curves into another's folder."""
    name, kinds = (cfg.get('visualizer') or {}).get('name'), [Visualizer]
    for kind in kinds:
        kinds += kind.__subclasses__()
        kind._instance_dict.pop(name, None)


def _build_runner(cfg: Config) -> Runner:
    _forget_visualizer(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if isinstance(runner.model, torch.nn.Module):  # (FlexibleRunner builds it later)
        check_mask_thresholds(runner.model)
        if type_name(cfg.get('optim_wrapper')) == 'AmpOptimWrapper':  # (Bf16OptimWrapper does it by itself)
            keep_rois_in_float32(runner.model)
    return runner


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def train(
    config: str,
    *,
    work_dir: str | None = None,
    resume: str | None = None,
    resume_schedule: str = 'checkpoint',
    amp: bool = False,
    auto_scale_lr: bool = False,
    seed: int | None = None,
    deterministic: bool = False,
    load_from: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    tensorboard: bool = False,
    cfg_options: dict | None = None,
    launcher: str = 'none',
) -> Runner:
    """Trains a config.

    Args:
        config: File name.
        work_dir: Folder of the outputs.
        resume: Checkpoint to go on from; ``'auto'`` takes the latest in ``work_dir``, and starts anew without one.
        resume_schedule: Whose learning rate and schedule a resumed training follows, ``'checkpoint'`` or ``'config'``,
            where they differ; see :class:`mmdet_ir.engine.schedules.ResumedScheduleHook`.
        amp: Mixed precision, see :func:`use_mixed_precision`.
        auto_scale_lr: Scales the learning rate by batch size over the config's ``auto_scale_lr.base_batch_size``.
        seed: Of all random numbers.
        deterministic: Prefers deterministic kernels; where there is none, torch warns.
        load_from: Weights to start from: a file, a URL, the name of a model of the package, or ``'none'``.
        epochs: Length of the training; schedules and warm-up keep their shares of it.
        batch_size: Images of a step, in each process; the learning rate stays.
        lr: Learning rate of the optimiser.
        tensorboard: Writes curves and settings for TensorBoard.
        cfg_options: Dotted keys of the config and their values.
        launcher: One of ``none``, ``pytorch``, ``slurm``, ``mpi``.

    Returns:
        The runner, after training.

    Raises:
        ValueError: When the model does not fit the data sets or its weights, see :class:`mmdet_ir.engine.FittingHook`.
        TrainingStopped: When SIGTERM, SIGUSR1 or Ctrl-C came; a checkpoint of the last iteration is on the disk.
        OutputError: When the disk is full or the folder cannot be written.

    Example:
        >>> from mmdet_ir.apis import train
        >>> runner = train('config.py', work_dir='trained', seed=0, cfg_options={'train_cfg.max_epochs': 1})
        >>> runner.epoch
        1
    """
    cfg = load_config(config, cfg_options, work_dir, launcher)
    given = {'epochs': epochs, 'batch_size': batch_size, 'lr': lr}
    _set_flags(cfg, config, load_from, given, cfg_options)
    if tensorboard:
        require_tensorboard()
    if lr is not None and auto_scale_lr:
        raise ValueError('--lr: expected the learning rate of this run, got --auto-scale-lr as well, which changes it')
    if amp or type_name(cfg.optim_wrapper) in ('AmpOptimWrapper', 'Bf16OptimWrapper'):
        use_mixed_precision(cfg)
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'{config}: --auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the config'
            )
        cfg.auto_scale_lr.enable = True
    meta = {}
    if resume is not None:
        meta = _set_resume(cfg, resume)
    if not cfg.get('resume') and cfg.get('load_from') is not None:
        cfg.load_from = require_checkpoint(cfg.load_from)
    _set_randomness(cfg, seed, deterministic, meta)
    check_before_training(cfg)
    with _output_errors(cfg.work_dir), StopRequest() as stop:
        runner = _build_runner(cfg)
        add_fitting_checks(runner, training=True)
        add_invalid_loss_hook(runner)
        make_resumable(runner, stop)
        if isinstance(runner, Runner):
            runner.register_hook(ResumedScheduleHook(runner, resume_schedule))
            add_remaining_time(runner)
        if tensorboard:
            add_tensorboard(runner)
        if deterministic:
            # An operator without a deterministic form would stop the training.
            os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # cuBLAS wants it for sums in one order
            torch.use_deterministic_algorithms(True, warn_only=True)
        with gpu_memory_errors(cfg, 'train', amp or 'Amp' in type_name(cfg.optim_wrapper)), small_map_errors(cfg):
            began = time.time()
            runner.train()
            tell_training(runner, config, time.time() - began)
    _leave_group()
    return runner


def _set_drawing(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ValueError('--show and --show-dir need default_hooks.visualization = dict(type="IRVisualizationHook")')
    if type_name(hook) == 'DetVisualizationHook':  # it would read the files again, as 8-bit colour
        hook.type = 'IRVisualizationHook'
    hook.update(draw=True, show=show, wait_time=wait_time)
    if show_dir is not None:
        hook.test_out_dir = show_dir


def test(
    config: str,
    checkpoint: str,
    *,
    work_dir: str | None = None,
    out: str | None = None,
    show: bool = False,
    show_dir: str | None = None,
    wait_time: float = 2.0,
    tta: bool = False,
    cfg_options: dict | None = None,
    launcher: str = 'none',
) -> dict:
    """Tests a checkpoint on the test set of its config.

    Args:
        config: File name.
        checkpoint: File name or URL.
        work_dir: Folder of the outputs.
        out: Pickle for all predictions, masks as RLE.
        show: Shows each picture in a window.
        show_dir: Folder for drawn predictions, under the run's folder in ``work_dir``.
        wait_time: Seconds to show each picture.
        tta: Test-time augmentation, see :func:`mmdet_ir.apis.tta.set_tta`.
        cfg_options: Dotted keys of the config and their values.
        launcher: One of ``none``, ``pytorch``, ``slurm``, ``mpi``.

    Returns:
        The metrics by name.

    Raises:
        ValueError: For another ending of ``out``, for drawing without a hook, for ``tta`` settings that do not fit,
            and for a checkpoint that does not fit the config, in its weights or in its classes.

    Example:
        >>> from mmdet_ir.apis import test
        >>> metrics = test('config.py', 'weights.pth', work_dir='tested')
        >>> 0 <= metrics['coco/segm_mAP'] <= 1
        True
    """
    if out is not None and not out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--out: expected a name that ends in .pkl or .pickle, got {out!r}')
    cfg = load_config(config, cfg_options, work_dir, launcher)
    cfg.load_from = require_checkpoint(checkpoint)
    if show or show_dir is not None:
        _set_drawing(cfg, show, show_dir, wait_time)
    check_before_testing(cfg)
    if tta:
        set_tta(cfg)
    runner = _build_runner(cfg)
    if tta:
        check_tta(runner.model)
    add_fitting_checks(runner, training=False)
    if out is not None:
        runner.test_evaluator.metrics.append(DumpBinaryMasks(out_file_path=out))
    with gpu_memory_errors(cfg, 'test'):
        metrics = runner.test()
    tell_test(runner, config, checkpoint, out, show_dir)
    _leave_group()
    return metrics
