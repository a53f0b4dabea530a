"""Training and testing from a config, with the options of MMDetection's tools."""

import os
from pathlib import Path

import torch
from mmdet.evaluation import DumpDetResults
from mmdet.registry import RUNNERS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint

from .tta import check_tta, set_tta


def load_config(
    config: str, cfg_options: dict | None = None, work_dir: str | None = None, launcher: str = 'none'
) -> Config:
    """Reads a config and merges what the command line says.

    Args:
        config: File name.
        cfg_options: Dotted keys and their values.
        work_dir: Folder of the outputs; default is the config's, then ``work_dirs/NAME_OF_CONFIG``.
        launcher: One of ``none``, ``pytorch``, ``slurm``, ``mpi``.

    Raises:
        FileNotFoundError: When there is no such file.
    """
    if not Path(config).is_file():
        raise FileNotFoundError(f'config not found: expected a file, got {config!r}')
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(cfg_options or {})
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(config).stem))
    return cfg


def require_checkpoint(checkpoint: str) -> str:
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint not found: expected a file or URL, got {checkpoint!r}')
    return checkpoint


def use_mixed_precision(cfg: Config) -> None:
    """Sets the optimiser wrapper: float16 with dynamic loss scale on a GPU, bfloat16 on the CPU.

    Raises:
        ValueError: When the config has a wrapper of another kind.
    """
    wrapper = cfg.optim_wrapper
    known = ('OptimWrapper', 'AmpOptimWrapper', 'Bf16OptimWrapper')
    if wrapper.get('type', 'OptimWrapper') not in known:
        raise ValueError(f'--amp: expected optim_wrapper.type to be one of {known}, got {wrapper.type!r}')
    if get_device() == 'cpu':
        wrapper.type = 'Bf16OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(key, None)
        print_log('Mixed precision on the CPU: bfloat16, without loss scaling', logger='current')
    elif wrapper.get('type') != 'Bf16OptimWrapper':
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


def _set_resume(cfg: Config, resume: str) -> None:
    if resume != 'auto':
        cfg.resume, cfg.load_from = True, require_checkpoint(resume)
    elif find_latest_checkpoint(cfg.work_dir) is not None:
        cfg.resume, cfg.load_from = True, None
    else:
        # Nothing to resume yet: a first run with --resume still starts from the config's pretrained weights.
        cfg.resume = False
        print_log(f'Nothing to resume in {cfg.work_dir}: starting from the beginning', logger='current')


def _build_runner(cfg: Config) -> Runner:
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def train(
    config: str,
    *,
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    seed: int | None = None,
    deterministic: bool = False,
    cfg_options: dict | None = None,
    launcher: str = 'none',
) -> Runner:
    """Trains a config.

    Args:
        config: File name.
        work_dir: Folder of the outputs.
        resume: Checkpoint to go on from; ``'auto'`` takes the latest in ``work_dir``, and starts anew without one.
        amp: Mixed precision, see :func:`use_mixed_precision`.
        auto_scale_lr: Scales the learning rate by batch size over the config's ``auto_scale_lr.base_batch_size``.
        seed: Of all random numbers.
        deterministic: Prefers deterministic kernels; where there is none, torch warns.
        cfg_options: Dotted keys of the config and their values.
        launcher: One of ``none``, ``pytorch``, ``slurm``, ``mpi``.

    Returns:
        The runner, after training.
    """
    cfg = load_config(config, cfg_options, work_dir, launcher)
    if amp or cfg.optim_wrapper.get('type') == 'AmpOptimWrapper':
        use_mixed_precision(cfg)
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'{config}: --auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the config'
            )
        cfg.auto_scale_lr.enable = True
    if resume is not None:
        _set_resume(cfg, resume)
    elif cfg.get('load_from') is not None:
        require_checkpoint(cfg.load_from)
    if seed is not None or deterministic:
        randomness = dict(cfg.get('randomness', {}), deterministic=deterministic)
        cfg.randomness = randomness if seed is None else dict(randomness, seed=seed)
    runner = _build_runner(cfg)
    if deterministic:
        # torchvision's RoIAlign has no deterministic backward pass on CUDA, and would stop the training.
        torch.use_deterministic_algorithms(True, warn_only=True)
    runner.train()
    _leave_group()
    return runner


def _set_drawing(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ValueError('--show and --show-dir need default_hooks.visualization = dict(type="IRVisualizationHook")')
    if hook.type == 'DetVisualizationHook':  # it would read the files again, as 8-bit colour
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
        ValueError: For another ending of ``out``, for drawing without a hook, and for ``tta`` settings
            that do not fit.
    """
    if out is not None and not out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--out: expected a name that ends in .pkl or .pickle, got {out!r}')
    cfg = load_config(config, cfg_options, work_dir, launcher)
    cfg.load_from = require_checkpoint(checkpoint)
    if show or show_dir is not None:
        _set_drawing(cfg, show, show_dir, wait_time)
    if tta:
        set_tta(cfg)
    runner = _build_runner(cfg)
    if tta:
        check_tta(runner.model)
    unfinished = f'{out}.unfinished.pkl'
    if out is not None:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=unfinished))
    metrics = runner.test()
    if out is not None and is_main_process():
        os.replace(unfinished, out)
    _leave_group()
    return metrics
