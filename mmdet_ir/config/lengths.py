"""The length of a training, the size of its batch and its learning rate, set wherever a config uses them."""

import math
from collections.abc import Iterator, Mapping
from numbers import Number

from mmengine.config import Config, ConfigDict

from .types import type_name

_LENGTHS = ('begin', 'end', 'T_max', 'total_steps', 'step_size')  # of mmengine's schedules
_LISTS = ('milestones', 'periods', 'restart_periods')
_HOOKS = ('switch_epoch', 'begin_epoch', 'strict_load_epoch', 'num_last_epochs')  # of hooks that act at some epochs


def set_epochs(cfg: Config | ConfigDict, epochs: int) -> None:
    """Changes the length of a training that is counted in epochs; schedules and warm-up keep their shares of it.

    Args:
        cfg: A whole config.
        epochs: The new length.

    Raises:
        ValueError: If the config counts iterations, or the number is none.

    Example:
        >>> from mmengine.config import Config
        >>> cfg = Config({'train_cfg': {'max_epochs': 100}, 'param_scheduler': {'milestones': [70, 90]}})
        >>> set_epochs(cfg, 10)
        >>> cfg.param_scheduler.milestones
        [7, 9]
    """
    _require(epochs, 'number of epochs from 1 on', isinstance(epochs, int) and epochs > 0)
    train_cfg = cfg.get('train_cfg') or {}
    if not counts_epochs(cfg):
        iterations = train_cfg.get('max_iters')
        raise ValueError(
            f'expected a config that counts epochs, got one of {iterations} steps: its length is set by '
            f'--cfg-options train_cfg.max_iters=N, where N = epochs * images / batch size'
        )
    before = train_cfg['max_epochs']
    train_cfg['max_epochs'] = epochs
    if 'max_epochs' in cfg:  # a variable of the file
        cfg['max_epochs'] = epochs
    interval = train_cfg.get('val_interval', 1)
    train_cfg['val_interval'] = epochs if interval == before else min(interval, epochs)
    _stretch_validations(train_cfg, epochs / before)
    saving = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if saving.get('by_epoch', True) and saving.get('interval', 1) > epochs:
        saving['interval'] = epochs
    stretch_schedules(cfg, epochs / before, epochs / before, epochs)
    for hook in cfg.get('custom_hooks') or ():
        for key in _HOOKS:
            if isinstance(hook.get(key), int):
                least = int(key == 'num_last_epochs' and hook[key] > 0)
                hook[key] = max(least, round(hook[key] * epochs / before))


def set_iterations(cfg: Config | ConfigDict, iterations: int) -> None:
    """Changes the length of a training that is counted in iterations; schedules and warm-up keep their shares of it.

    Args:
        cfg: A whole config.
        iterations: The new length.
    """
    train_cfg = cfg['train_cfg']
    before = train_cfg['max_iters']
    train_cfg['max_iters'] = iterations
    if 'max_iters' in cfg:
        cfg['max_iters'] = iterations
    _stretch_validations(train_cfg, iterations / before)
    stretch_schedules(cfg, 1.0, iterations / before, iterations)


def set_batch_size(cfg: Config | ConfigDict, batch_size: int) -> None:
    """Changes the number of images of a training step (in each process); the warm-up keeps its share of the training.

    Args:
        cfg: A whole config.
        batch_size: The new number.

    Raises:
        ValueError: If the loader has a batch sampler of its own that decides, or the number is none.
    """
    _require(batch_size, 'number of images from 1 on', isinstance(batch_size, int) and batch_size > 0)
    loader = cfg.get('train_dataloader') or {}
    if not isinstance(loader.get('batch_size'), int):
        raise ValueError('expected train_dataloader.batch_size in the config, got a loader without it')
    before, loader['batch_size'] = loader['batch_size'], batch_size
    if counts_epochs(cfg):
        stretch_schedules(cfg, 1.0, before / batch_size)


def set_learning_rate(cfg: Config | ConfigDict, rate: float) -> None:
    """Changes the learning rate of the optimiser.

    Args:
        cfg: A whole config.
        rate: The new value.

    Raises:
        ValueError: If the config has several optimisers, or the number is none.
    """
    _require(rate, 'learning rate above 0', isinstance(rate, Number) and math.isfinite(rate) and rate > 0)
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer')
    if not isinstance(optimizer, Mapping) or 'lr' not in optimizer:
        raise ValueError('expected optim_wrapper.optimizer.lr in the config, got a wrapper without it')
    optimizer['lr'] = rate


def counts_epochs(cfg: Mapping) -> bool:
    """Whether the training is counted in epochs."""
    train_cfg = cfg.get('train_cfg') or {}
    return 'max_epochs' in train_cfg and not type_name(train_cfg).startswith('IterBased')


def stretch_schedules(cfg: Config | ConfigDict, epochs: float, steps: float, length: int | None = None) -> None:
    """Multiplies all lengths of the schedules.

    Args:
        cfg: A whole config.
        epochs: Factor for schedules that count epochs.
        steps: Factor for schedules that count steps, such as a warm-up.
        length: Of the training, as the config counts it; milestones beyond it, in the same unit, are left out.
    """
    for scheduler in _schedulers(cfg.get('param_scheduler') or ()):
        by_epoch = scheduler.get('by_epoch', True)
        factor = epochs if by_epoch else steps
        if factor == 1 or 'ReduceOnPlateau' in type_name(scheduler):
            continue
        whole = _span(scheduler) is not None and scheduler.get('T_max') == _span(scheduler)
        for key in _LENGTHS:
            if isinstance(scheduler.get(key), int) and scheduler[key] > 0:
                scheduler[key] = max(1, round(scheduler[key] * factor))
        if whole:  # (begin and end are rounded each)
            scheduler['T_max'] = max(1, _span(scheduler))
        for key in _LISTS:
            if isinstance(scheduler.get(key), list | tuple):
                # (milestones that meet stay two: the rate falls as often as before)
                scaled = [max(1, round(value * factor)) for value in scheduler[key]]
                same_unit = by_epoch == counts_epochs(cfg)
                inside = [value for value in scaled if length is None or not same_unit or value < length]
                scheduler[key] = inside if key == 'milestones' else scaled


def _schedulers(schedulers: object) -> Iterator[dict]:
    """Every schedule: one, a list, or lists by the name of their optimiser."""
    if isinstance(schedulers, Mapping) and 'type' not in schedulers and 'milestones' not in schedulers:
        for part in schedulers.values():
            yield from _schedulers(part)
    elif isinstance(schedulers, Mapping):
        yield schedulers
    else:
        yield from schedulers or ()


def _span(scheduler: Mapping) -> int | None:
    begin, end = scheduler.get('begin', 0), scheduler.get('end')
    return end - begin if isinstance(begin, int) and isinstance(end, int) else None


def _stretch_validations(train_cfg: dict, factor: float) -> None:
    """Validations begin, and become more frequent, at the same share of the training."""
    begin = train_cfg.get('val_begin')
    if isinstance(begin, int) and begin > 1:  # (1 is from the start, whatever the length)
        train_cfg['val_begin'] = max(1, round(begin * factor))
    if train_cfg.get('dynamic_intervals'):
        intervals = train_cfg['dynamic_intervals']
        train_cfg['dynamic_intervals'] = [(max(1, round(place * factor)), interval) for place, interval in intervals]


def _require(value: object, expected: str, sound: bool) -> None:
    if not sound or isinstance(value, bool):
        raise ValueError(f'expected a {expected}, got {value!r}')
