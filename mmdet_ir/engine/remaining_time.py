"""The time that a training still takes, from its first steps on."""

import time

from mmengine.hooks import Hook, IterTimerHook
from mmengine.runner import IterBasedTrainLoop, Runner

_AFTER_TIMER = 55  # IterTimerHook has 50, LoggerHook, which writes the time, 60
_FORWARD = 3  # a training step takes about three times as long as the forward pass alone


class RemainingTimeHook(Hook):
    """Replaces the ``eta`` of mmengine's ``IterTimerHook`` in the log.

    That one spreads the first step, which starts the workers and takes many times as long as others, over the whole
    training, and leaves the validations out. Here the first step of the run does not count, and a validation takes as
    long as those before it; before the first of them, a third of the time that as many images take in training.
    """

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self.first = 0.0
        self.validations: list[float] = []
        self.began = 0.0

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Notes how long the step took, and what follows from it."""
        seconds = runner.message_hub.get_scalar('train/time').current()
        if not self.first:
            self.first = seconds
        else:
            self.steps += 1
            self.seconds += seconds
        step = self.seconds / self.steps if self.steps else self.first
        left = step * (runner.max_iters - runner.iter - 1)
        number = validations_left(runner)
        if number:
            left += number * self._validation(runner, step)
        runner.message_hub.update_info('eta', left)

    def _validation(self, runner: Runner, step: float) -> float:
        if self.validations:
            return sum(self.validations) / len(self.validations)
        # (a loader with a batch sampler of its own has no batch size, its sampler has)
        images, batch = len(runner.val_dataloader.dataset), runner.train_dataloader.batch_sampler.batch_size
        return step / batch / _FORWARD * images

    def before_val(self, runner: Runner) -> None:
        """A validation begins."""
        self.began = time.time()

    def after_val(self, runner: Runner) -> None:
        """A validation has ended."""
        self.validations.append(time.time() - self.began)


def validations_left(runner: Runner) -> int:
    """How many validations are still to come, after the running step."""
    loop = runner.train_loop
    interval = getattr(loop, 'val_interval', 0)
    if runner.val_loop is None or not interval:
        return 0
    by_step = isinstance(loop, IterBasedTrainLoop)
    done, length = (runner.iter + 1, runner.max_iters) if by_step else (runner.epoch, runner.max_epochs)
    begin = getattr(loop, 'val_begin', 1)
    times = {*range(interval, length + 1, interval), length}  # the last one is at the end
    return sum(1 for place in times if place > done and place >= begin)


def add_remaining_time(runner: Runner) -> None:
    """Registers :class:`RemainingTimeHook`; it is not in the config, so that hashes in records stay the same.

    A config without ``IterTimerHook``, which measures the steps, stays without remaining time.
    """
    if any(isinstance(hook, IterTimerHook) for hook in runner.hooks):
        runner.register_hook(RemainingTimeHook(), priority=_AFTER_TIMER)
