"""A training that goes on under a changed config tells what differs, and follows the one that is asked for."""

from pathlib import Path

from mmdet_ir.engine import StopRequest, find_whole_checkpoint, make_resumable
from mmdet_ir.engine.schedules import ResumedScheduleHook

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from toy_training import build

SGD = {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}
STEPS = [{'type': 'MultiStepLR', 'by_epoch': True, 'milestones': [1], 'gamma': 0.1}]
COSINE = [
    {'type': 'LinearLR', 'start_factor': 0.5, 'by_epoch': False, 'end': 3},
    {'type': 'CosineAnnealingLR', 'eta_min': 0.0, 'by_epoch': True, 'T_max': 4, 'convert_to_iter_based': True},
]
UNSEEN = {'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None}


class Rates(Hook):
    """Notes the learning rate of a group of parameters, in each iteration."""

    priority = 'LOWEST'

    def __init__(self, group: int) -> None:
        self.group, self.seen = group, []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        self.seen.append(runner.optim_wrapper.get_lr()['lr'][self.group])


def rates(
    folder: Path,
    epochs: int,
    schedule: list,
    *,
    lr: float = 0.1,
    follow: str | None = None,
    kind: str = 'SGD',
    group: int = 0,
    **changes: object,
) -> list[float]:
    """Trains to an epoch; with ``follow`` from the checkpoint that is there. Gives the rates of a group."""
    noted = Rates(group)
    optimizer = {**SGD, 'lr': lr} if kind == 'SGD' else {'type': kind, 'lr': lr}
    settings = {
        **UNSEEN,
        'optim_wrapper': {'optimizer': optimizer},
        'param_scheduler': schedule,
        'train_cfg': {'by_epoch': True, 'max_epochs': epochs},
        'default_hooks': {'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
        'custom_hooks': [noted],
        'log_level': 'WARNING',
    }
    settings['optim_wrapper'] |= changes.pop('optim_wrapper', {})
    settings |= changes
    if follow is not None:
        settings |= {'resume': True, 'load_from': find_whole_checkpoint(folder)[0]}
    with StopRequest() as stop:
        runner = build(folder, **settings)
        make_resumable(runner, stop)
        runner.register_hook(ResumedScheduleHook(runner, follow or 'checkpoint'))
        runner.train()
    return noted.seen


def test_the_checkpoint_goes_on_and_what_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rates(tmp_path, 2, STEPS)
    changed = [{**STEPS[0], 'milestones': [3]}]
    after = rates(tmp_path, 3, changed, lr=0.2, follow='checkpoint')
    assert after == pytest.approx([0.01] * 5)
    (text,) = [line for line in capsys.readouterr().out.splitlines() if 'Schedule and learning rate' in line]
    assert 'optimizer.lr is 0.1 in the checkpoint, 0.2 in the config' in text
    assert 'param_scheduler[0].milestones is [1] in the checkpoint, [3] in the config' in text
    assert '--resume-schedule config' in text


@pytest.mark.parametrize('schedule', [[{**STEPS[0], 'milestones': [3]}], COSINE])
def test_the_config_s_rates_are_those_of_a_training_that_began_with_it(tmp_path: Path, schedule: list) -> None:
    alone = rates(tmp_path / 'alone', 4, schedule, lr=0.2)
    rates(tmp_path / 'run', 2, STEPS)
    if len(schedule) > 1:  # another number of schedulers
        assert rates(tmp_path / 'run', 4, schedule, lr=0.2, follow='config') == pytest.approx(alone[10:], abs=1e-12)
    else:
        assert rates(tmp_path / 'run', 4, schedule, lr=0.2, follow='config') == pytest.approx(alone[10:])
    assert len(set(alone)) > 1


def test_a_scaled_rate_follows_the_config(tmp_path: Path) -> None:
    """Batches of two: half of the batch that the rate was made for, then twice that batch."""
    scaled = [{'enable': True, 'base_batch_size': size} for size in (4, 1)]
    assert rates(tmp_path, 1, [], auto_scale_lr=scaled[0]) == pytest.approx([0.05] * 5)
    assert rates(tmp_path, 2, [], follow='config', auto_scale_lr=scaled[1]) == pytest.approx([0.2] * 5)


def test_groups_after_the_first_are_compared_as_well(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    schedule = [{'type': 'ConstantLR', 'factor': 1.0, 'by_epoch': True, 'end': 9}]

    def last_layer(factor: float) -> dict:
        return {'paramwise_cfg': {'custom_keys': {'layers.3': {'lr_mult': factor}}}}

    assert rates(tmp_path, 1, schedule, group=-1, optim_wrapper=last_layer(0.1)) == pytest.approx([0.01] * 5)
    after = rates(tmp_path, 2, schedule, group=-1, follow='config', optim_wrapper=last_layer(0.5))
    assert after == pytest.approx([0.05] * 5)
    assert capsys.readouterr().out.count('optimizer.lr_mult is 0.1 in the checkpoint, 0.5 in the config') == 1


def test_nothing_is_told_where_nothing_differs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    alone = rates(tmp_path / 'alone', 3, COSINE)
    rates(tmp_path / 'run', 3, COSINE)
    (tmp_path / 'run' / 'epoch_3.pth').unlink()  # as if it had been killed before
    (tmp_path / 'run' / 'last_checkpoint').unlink()
    assert rates(tmp_path / 'run', 3, COSINE, follow='checkpoint') == pytest.approx(alone[10:])
    assert 'Schedule and learning rate' not in capsys.readouterr().out


def test_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rates(tmp_path, 2, STEPS)
    assert rates(tmp_path, 2, STEPS, follow='checkpoint') == []
    assert 'is at iteration 10 of 10' in capsys.readouterr().out


def test_another_optimiser_is_refused(tmp_path: Path) -> None:
    rates(tmp_path, 1, STEPS)
    with pytest.raises(ValueError, match=r"settings are \['dampening'\], got one with \['betas'\]"):
        rates(tmp_path, 2, STEPS, kind='AdamW', follow='checkpoint')


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='--resume-schedule: expected one of'):
        ResumedScheduleHook(build(tmp_path), 'both')


LINEAR = {'type': 'LinearLR', 'start_factor': 0.1, 'begin': 0}
COSINE_LR = {'type': 'CosineAnnealingLR', 'begin': 0}
ONE_CYCLE = {'type': 'OneCycleLR', 'eta_max': 0.2, 'by_epoch': False}
CONVERTED = {'by_epoch': True, 'convert_to_iter_based': True}


# A training has 4 epochs of 5 steps, or 20 steps.
@pytest.mark.parametrize(
    ('by_epoch', 'schedule', 'told'),
    [
        (True, [{**LINEAR, 'by_epoch': False, 'end': 100}], ['[0] (LinearLR)', 'after 100 steps', 'only 20 steps']),
        (False, [{**LINEAR, 'by_epoch': False, 'end': 100}], ['[0] (LinearLR)', 'after 100 steps', 'only 20 steps']),
        (True, [STEPS[0], {**LINEAR, 'by_epoch': True, 'end': 5}], ['[1] (LinearLR)', 'after 25 steps']),
        (True, [{**LINEAR, **CONVERTED, 'end': 6}], ['[0] (LinearLR)', 'after 30 steps']),
        (True, [{**COSINE_LR, 'by_epoch': True, 'T_max': 3, 'end': 3}], ['[0]', 'ends at step 15 of the 20 steps']),
        (True, [{**COSINE_LR, **CONVERTED, 'T_max': 3, 'end': 3}], ['[0]', 'ends at step 15 of the 20 steps']),
        (
            False,
            [{**COSINE_LR, 'by_epoch': False, 'T_max': 12}],
            ['[0]', 'T_max ends at step 12 of the 20', 'up again'],
        ),
        (True, [{**COSINE_LR, 'by_epoch': True, 'T_max': 12}], ['[0]', 'ends after 60 steps', 'only 20 steps']),
        (True, [{**COSINE_LR, **CONVERTED, 'T_max': 12}], ['[0]', 'ends after 60 steps', 'never comes near its end']),
        (False, [{**ONE_CYCLE, 'total_steps': 200}], ['[0] (OneCycleLR)', 'ends after 200 steps']),
        (True, [{'type': 'PolyLR', 'by_epoch': True, 'end': 8}], ['[0] (PolyLR)', 'ends after 40 steps']),
        (True, [{**STEPS[0], 'milestones': [1, 4]}], ['[0] (MultiStepLR)', 'at step [20] are never reached']),
        (False, STEPS, ['[0] (MultiStepLR)', 'has no epochs', 'set by_epoch=False']),
    ],
)
def test_a_schedule_of_another_length_than_the_training_is_told(
    tmp_path: Path, by_epoch: bool, schedule: list, told: list[str]
) -> None:
    (text,) = lengths(tmp_path, by_epoch, schedule)
    assert all(part in text for part in ['param_scheduler', *told])


@pytest.mark.parametrize(
    'schedule',
    [
        STEPS,
        COSINE,
        [{**LINEAR, 'by_epoch': False, 'end': 20}],
        [{**ONE_CYCLE, 'total_steps': 20}],
        [
            {**LINEAR, 'by_epoch': False, 'end': 2},
            {**COSINE_LR, 'by_epoch': False, 'begin': 2, 'end': 22, 'T_max': 20},
        ],
        [{'type': 'PolyLR', 'by_epoch': True}],
        [{**LINEAR, 'by_epoch': False}],  # mmengine's end is the training's
        [
            {**COSINE_LR, 'by_epoch': True, 'T_max': 3, 'end': 3},
            {'type': 'ConstantLR', 'factor': 1, 'begin': 3, 'end': 4},
        ],
        [{**COSINE_LR, 'by_epoch': True, 'T_max': 3, 'end': 3}, {'type': 'ReduceOnPlateauLR', 'monitor': 'score'}],
    ],
)
def test_a_schedule_that_fits_is_not_told_of(tmp_path: Path, schedule: list) -> None:
    assert lengths(tmp_path, True, schedule) == []


@pytest.mark.parametrize(('begin', 'told'), [(1, False), (3, False), (4, True)])
def test_a_training_without_a_validation_is_told(tmp_path: Path, begin: int, told: bool) -> None:
    train_cfg = {'by_epoch': True, 'max_epochs': 3, 'val_begin': begin}
    said = lengths(tmp_path, True, [], train_cfg=train_cfg)
    assert [f'No validation will take place: train_cfg.val_begin={begin} is beyond' in text for text in said] == (
        [True] if told else []
    )
    steps = {'by_epoch': False, 'max_iters': 1, 'val_begin': 1, 'val_interval': 5}
    assert lengths(tmp_path / 'one', False, [], train_cfg=steps) == []


def lengths(folder: Path, by_epoch: bool, schedule: list, **settings: object) -> list[str]:
    """What is said of the schedule before the first step."""
    runner = build(folder, by_epoch=by_epoch, param_scheduler=schedule, **settings)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.param_schedulers = runner.build_param_scheduler(schedule)
    said: list[str] = []
    runner.logger.warning = said.append
    ResumedScheduleHook(runner).before_train(runner)
    return said


def test_a_checkpoint_that_learns_other_parameters_is_refused(tmp_path: Path) -> None:
    """PyTorch's own words name neither the setting nor the remedy."""
    settings = {**UNSEEN, 'param_scheduler': STEPS, 'train_cfg': {'by_epoch': True, 'max_epochs': 1}}
    biases = {'optimizer': {**SGD, 'weight_decay': 0.1}, 'paramwise_cfg': {'bias_decay_mult': 0.0}}
    build(tmp_path, **settings, optim_wrapper=biases).train()
    resumed = {'resume': True, 'load_from': find_whole_checkpoint(tmp_path)[0]}
    runner = build(tmp_path, **settings, **resumed, optim_wrapper={'optimizer': biases['optimizer']})
    runner.register_hook(ResumedScheduleHook(runner))
    with pytest.raises(ValueError, match=r'the checkpoint learns \d+ parameters in \d+ groups, .* in 1; .*load_from'):
        runner.train()
