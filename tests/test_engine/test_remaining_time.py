"""Remaining time and warm-up against times and steps that are counted by hand."""

from types import SimpleNamespace

from mmdet_ir.engine.remaining_time import RemainingTimeHook, add_remaining_time, validations_left
from mmdet_ir.engine.warm_up import LinearWarmupLR

import pytest
import torch
from mmengine.hooks import IterTimerHook
from mmengine.logging import MessageHub


def runner(epoch: int = 0, interval: int = 4, epochs: int = 10) -> SimpleNamespace:
    """Ten epochs of five steps of two images, and a validation of 30 images after every fourth epoch."""
    return SimpleNamespace(
        train_loop=SimpleNamespace(val_interval=interval, val_begin=1),
        val_loop=object(),
        epoch=epoch,
        max_epochs=epochs,
        iter=5 * epoch,
        max_iters=5 * epochs,
        val_dataloader=SimpleNamespace(dataset=range(30)),
        # (as the loaders of a training that can be resumed: the batches are the sampler's)
        train_dataloader=SimpleNamespace(batch_size=None, batch_sampler=SimpleNamespace(batch_size=2)),
        message_hub=MessageHub('remaining time'),
    )


def test_the_last_epoch_is_validated_as_well() -> None:
    assert [validations_left(runner(epoch)) for epoch in (0, 3, 4, 8, 9, 10)] == [3, 3, 2, 1, 1, 0]


def test_the_first_step_does_not_count() -> None:
    """Steps of 1 s after a first one of 60 s; 30 images take 30 / 2 / 3 = 5 s, three times."""
    run, hook = runner(), RemainingTimeHook()
    for run.iter, seconds in enumerate([60.0, 1.0, 1.0]):
        run.message_hub.update_scalar('train/time', seconds)
        hook.after_train_iter(run)
    assert run.message_hub.get_info('eta') == pytest.approx(47 * 1.0 + 3 * 5.0)
    hook.validations = [8.0, 12.0]
    run.message_hub.update_scalar('train/time', 1.0)
    run.iter = 3
    hook.after_train_iter(run)
    assert run.message_hub.get_info('eta') == pytest.approx(46 * 1.0 + 3 * 10.0)


def test_a_warm_up_takes_its_share() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = LinearWarmupLR(optimizer, share=0.25, start_factor=0.1, end=16, by_epoch=False)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.2, 0.8, 1.4, 2.0, 2.0, 2.0])
    with pytest.raises(ValueError, match='share: expected a number between 0 and 1, got 5'):
        LinearWarmupLR(optimizer, share=5, end=16, by_epoch=False)
    with pytest.raises(ValueError, match='by_epoch: expected False'):
        LinearWarmupLR(optimizer, share=0.1, end=16)


@pytest.mark.parametrize('timed', [True, False])
def test_a_config_without_a_timer_trains_without_remaining_time(timed: bool) -> None:
    hooks = [IterTimerHook()] if timed else []
    run = SimpleNamespace(hooks=hooks, register_hook=lambda hook, priority: hooks.append(hook))
    add_remaining_time(run)
    assert [type(hook) for hook in hooks] == ([IterTimerHook, RemainingTimeHook] if timed else [])
