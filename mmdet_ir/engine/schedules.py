"""What a training that goes on does about schedules and learning rates that the config has changed meanwhile.

mmengine loads the state of optimiser and schedulers over what the config says, so the checkpoint's settings win in
silence.
"""

import copy
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from .schedule_lengths import misfits

CHOICES = ('checkpoint', 'config')
# Where a scheduler is in its course; all else in its state are settings.
_COURSE = {'_global_step', '_last_value', 'last_step', 'best', 'num_bad_epochs', 'cooldown_counter', 'verbose'}
_COURSE |= {'anneal_func'}  # not in a checkpoint (compat)
# Settings that tell optimisers apart; versions of PyTorch add others to one and the same.
_KINDS = {'alpha', 'betas', 'dampening', 'etas', 'lambd', 'lr_decay', 'momentum_decay', 'rho'}
_MANY = 4

Settings = dict[str, object]


class ResumedScheduleHook(Hook):
    """Tells where the schedule of a checkpoint is another than the config's, and follows the one that is asked for.

    Args:
        runner: Before ``train()``.
        follow: ``'checkpoint'``: what the training began with goes on. ``'config'``: learning rate and schedule are
            those that the config gives to this iteration, as if the training had begun with it; moments stay.
    """

    priority = 'VERY_HIGH'

    def __init__(self, runner: Runner, follow: str = 'checkpoint') -> None:
        if follow not in CHOICES:
            raise ValueError(f'--resume-schedule: expected one of {CHOICES}, got {follow!r}')
        self.follow = follow
        self._settings = copy.deepcopy((runner.optim_wrapper, runner.param_schedulers))  # (building takes parts out)
        self.configured: dict[str, tuple[list[Settings], list[Settings]]] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compares; nothing of the checkpoint is in optimiser and schedulers yet.

        Raises:
            ValueError: If the checkpoint is of another optimiser, or of one that learns other parameters.
        """
        if not runner._resume or 'optimizer' not in checkpoint:
            return
        self.configured = {
            name: (_groups(wrapper.optimizer), [_settings(s.state_dict()) for s in schedulers])
            for name, wrapper, schedulers in _parts(runner)
        }
        sizes = {
            name: [len(group['params']) for group in wrapper.optimizer.param_groups]
            for name, wrapper, _ in _parts(runner)
        }
        told: list[str] = []
        for name, (groups, schedulers) in self.configured.items():
            state, saved = checkpoint['optimizer'], checkpoint.get('param_schedulers') or []
            if name:
                state, saved = state[name], saved[name] if isinstance(saved, Mapping) else saved
            at = f'{name}.' if name else ''
            _require_same_optimizer(at, groups, state['param_groups'])
            _require_same_parameters(at, sizes[name], [len(group['params']) for group in state['param_groups']])
            groups_there = _groups_of(state['param_groups'])
            told += dict.fromkeys(_differences(f'{at}optimizer', groups, groups_there))  # (each once)
            if len(schedulers) != len(saved):
                told.append(f'{at}param_scheduler: {len(saved)} in the checkpoint, {len(schedulers)} in the config')
            told += _differences(f'{at}param_scheduler', schedulers, [_settings(one) for one in saved])
        if not told:
            self.configured = None
            return
        more = f'; and {len(told) - _MANY} more' if len(told) > _MANY else ''
        other = "the config's" if self.follow == 'config' else "the checkpoint's, not the config's"
        advice = '' if self.follow == 'config' else '; --resume-schedule config follows the config'
        runner.logger.log(
            logging.WARNING,
            f'Schedule and learning rate are {other}{advice}. They differ: {"; ".join(told[:_MANY])}{more}',
        )

    def before_train(self, runner: Runner) -> None:
        """Follows the config, if that is asked for and it differs; tells of what is beyond the end."""
        loop = runner.train_loop
        if runner._resume and loop.iter >= loop.max_iters > 0:
            runner.logger.warning(
                f'Nothing is left to train: {runner.work_dir} is at iteration {loop.iter} of {loop.max_iters}; '
                'for more, raise train_cfg.max_epochs, or max_iters'
            )
        begin = getattr(loop, 'val_begin', 1)
        length = loop.max_iters if isinstance(loop, IterBasedTrainLoop) else loop.max_epochs
        if runner.val_loop is not None and begin > length:
            runner.logger.warning(
                f'No validation will take place: train_cfg.val_begin={begin} is beyond the end of the training, so '
                'there are no scores, and no best checkpoint'
            )
        if self.configured is not None and self.follow == 'config':
            self._follow_config(runner)
        for name, _, schedulers in _parts(runner):
            for text in misfits(schedulers, f'{name}.' if name else '', loop):
                runner.logger.warning(text)

    def _follow_config(self, runner: Runner) -> None:
        loop = runner.train_loop
        optimizer, schedule = copy.deepcopy(self._settings)
        fresh = runner.build_optim_wrapper(optimizer)
        running = runner.optim_wrapper, runner.param_schedulers
        # (mmengine scales the rate only before there are schedules)
        runner.optim_wrapper, runner.param_schedulers = fresh, None
        try:
            runner.scale_lr(fresh, runner.auto_scale_lr)
            schedulers = None if schedule is None else runner.build_param_scheduler(schedule)
        finally:
            runner.optim_wrapper, runner.param_schedulers = running
        fresh_parts = _named(fresh, schedulers)
        for (_, wrapper, going), (_, anew, planned) in zip(_parts(runner), fresh_parts, strict=True):
            _walk(planned, loop.iter, loop.epoch, len(loop.dataloader), anew)
            for group, wanted in zip(wrapper.optimizer.param_groups, anew.optimizer.param_groups, strict=True):
                group.update({key: value for key, value in wanted.items() if key != 'params'})
            for scheduler, wanted in zip(going, planned, strict=True):
                scheduler.load_state_dict(wanted.state_dict())


def _named(wrapper: object, schedulers: object) -> list[tuple[str, OptimWrapper, list]]:
    if isinstance(wrapper, OptimWrapper):
        return [('', wrapper, list(schedulers or []))]
    found = []
    for name, part in wrapper.items():
        own = schedulers.get(name, []) if isinstance(schedulers, Mapping) else schedulers or []
        found.append((name, part, list(own)))
    return found


def _parts(runner: Runner) -> list[tuple[str, OptimWrapper, list]]:
    """Name, wrapper and schedulers of each optimiser; a single one has no name."""
    return _named(runner.optim_wrapper, runner.param_schedulers)


def _groups(optimizer: object) -> list[Settings]:
    return _groups_of(optimizer.param_groups)


def _groups_of(groups: Sequence[Mapping]) -> list[Settings]:
    """Settings of parameter groups: what schedulers have changed is told by its initial value."""
    found = []
    for group in groups:
        scheduled = {key.removeprefix('initial_') for key in group if key.startswith('initial_')}
        own = {key: value for key, value in group.items() if key != 'params' and not key.startswith('initial_')}
        found.append({key: group[f'initial_{key}'] if key in scheduled else value for key, value in own.items()})
    return found


def _settings(state: Mapping) -> Settings:
    # (the initial values are told with the optimiser)
    return {key: value for key, value in state.items() if key not in _COURSE and key != 'base_values'}


def _require_same_optimizer(at: str, groups: Sequence[Settings], saved: Sequence[Mapping]) -> None:
    here, there = (sorted(_KINDS & {key for group in part for key in group}) for part in (groups, saved))
    if here != there:
        raise ValueError(
            f'{at}optim_wrapper.optimizer: expected the optimiser of the checkpoint to go on with, whose settings are '
            f'{there}, got one with {here}; set the former optimiser, or begin anew with load_from instead of --resume'
        )


def _require_same_parameters(at: str, here: Sequence[int], there: Sequence[int]) -> None:
    """Compares how many parameters each group has."""
    if here != there:
        raise ValueError(
            f'{at}optim_wrapper: the optimiser of the checkpoint learns {sum(there)} parameters in {len(there)} '
            f'groups, that of the config {sum(here)} in {len(here)}; go on with what the training began with '
            '(frozen_stages and other frozen parts, optim_wrapper.paramwise_cfg), or begin anew with load_from '
            'instead of --resume'
        )


def _differences(place: str, config: Sequence[Settings], checkpoint: Sequence[Settings]) -> Iterator[str]:
    for number, (here, there) in enumerate(zip(config, checkpoint, strict=False)):
        at = place if place.endswith('optimizer') else f'{place}[{number}]'
        for key in sorted(here.keys() | there.keys()):
            if not _same(here.get(key), there.get(key)):
                before, now = _shown(there.get(key)), _shown(here.get(key))
                yield f'{at}.{key} is {before} in the checkpoint, {now} in the config'


def _shown(value: object) -> object:
    return sorted(value.elements()) if isinstance(value, Counter) else value


def _same(one: object, other: object) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return one == other


def _walk(schedulers: Sequence, iterations: int, epochs: int, length: int, wrapper: OptimWrapper) -> None:
    """Takes fresh schedulers to a place, in the order in which a training steps them."""
    planned = [scheduler for scheduler in schedulers if not hasattr(scheduler, 'monitor')]  # scores are not at hand
    wrapper._global_step = 0  # (mmengine's check that the optimiser steps before its scheduler)

    def step(by_epoch: bool) -> None:
        for scheduler in planned:
            if scheduler.by_epoch is by_epoch:
                scheduler.step()

    done = 0
    for iteration in range(1, iterations + 1):
        step(by_epoch=False)
        if iteration % length == 0 and done < epochs:
            done += 1
            step(by_epoch=True)
    for _ in range(epochs - done):  # the epochs of the checkpoint were longer than they are now
        step(by_epoch=True)
