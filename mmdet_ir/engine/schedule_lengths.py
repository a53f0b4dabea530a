"""Where a schedule and the training that it is for are of different lengths."""

from collections.abc import Iterator, Sequence

from mmdet.engine.schedulers.quadratic_warmup import QuadraticWarmupParamScheduler
from mmengine.optim.scheduler import param_scheduler as kinds
from mmengine.runner import BaseLoop, IterBasedTrainLoop

_NEARLY_WHOLE = 0.9  # of a schedule; a warm-up before it that its length does not leave out is no fault


def misfits(schedulers: Sequence, at: str, loop: BaseLoop) -> Iterator[str]:
    """One sentence for each schedule that the training cuts off, or that leaves a part of the training without one.

    Args:
        schedulers: As the runner has built them, in the order of the config.
        at: First part of their place in the config, such as ``'generator.'``.
        loop: The training.
    """
    numbered = list(enumerate(_own_kinds(schedulers)))
    steps = loop.max_iters
    ends = []
    for number, scheduler in numbered:
        if scheduler is None:
            ends.append(steps)  # unknown to us
            continue
        place = f'{at}param_scheduler[{number}] ({type(scheduler).__name__})'
        if scheduler.by_epoch and isinstance(loop, IterBasedTrainLoop):
            yield (
                f'{place}: by_epoch=True, but this training is counted in iterations and has no epochs, so the '
                f'schedule never changes anything in its {steps} steps; set by_epoch=False and lengths in iterations'
            )
            ends.append(steps)
            continue
        length = len(loop.dataloader) if scheduler.by_epoch else 1
        end = scheduler.end * length
        warm_up = _is_warm_up(scheduler)
        if not warm_up:
            ends.append(end)
        missed = [] if not hasattr(scheduler, 'milestones') else sorted(scheduler.milestones.elements())
        missed = [step * length for step in missed if step * length >= steps]
        last = scheduler.begin + getattr(scheduler, 'T_max', scheduler.end)
        if warm_up and end > steps:
            yield (
                f'{place}: the warm-up ends after {end} steps, but the training has only {steps} steps, so the '
                'learning rate never reaches its full value; set a lower end, or train longer'
            )
        elif missed:
            yield f'{place}: the training has {steps} steps, so its milestones at step {missed} are never reached'
        elif last < scheduler.end and last * length < steps:
            yield (
                f'{place}: its T_max ends at step {last * length} of the {steps} steps of the training, after which '
                'the value goes up again; set T_max to the length of the training'
            )
        elif steps - scheduler.begin * length < _NEARLY_WHOLE * _whole(scheduler) * length:
            yield (
                f'{place}: it ends after {(scheduler.begin + _whole(scheduler)) * length} steps, but the training has '
                f'only {steps} steps, so the value never comes near its end; set its length to that of the training'
            )
    if ends and max(ends) < steps:
        number = max(k for k, one in numbered if one is not None and not _is_warm_up(one))
        yield (
            f'{at}param_scheduler[{number}]: the last schedule ends at step {max(ends)} of the {steps} steps of the '
            'training; the values that it has reached stay for the rest; set its end to the length of the training'
        )


def _whole(scheduler: object) -> int:
    """Epochs or steps from the beginning of a schedule that draws near its last value slowly; 0 for others."""
    slow = isinstance(scheduler, kinds.PolyParamScheduler | kinds.LinearParamScheduler)
    whole = getattr(
        scheduler, 'T_max', getattr(scheduler, 'total_steps', scheduler.end - scheduler.begin if slow else 0)
    )
    return 0 if whole >= kinds.INF or _is_warm_up(scheduler) else whole


def _own_kinds(schedulers: Sequence) -> Iterator[object]:
    """The schedules with a length; None for those that follow scores, or are not mmengine's."""
    for scheduler in schedulers:
        known = isinstance(scheduler, kinds._ParamScheduler) and not hasattr(scheduler, 'monitor')
        yield scheduler if known else None


def _is_warm_up(scheduler: object) -> bool:
    if isinstance(scheduler, kinds.LinearParamScheduler):
        return scheduler.start_factor < scheduler.end_factor
    if isinstance(scheduler, kinds.ConstantParamScheduler):
        return scheduler.factor < 1
    return isinstance(scheduler, QuadraticWarmupParamScheduler)
