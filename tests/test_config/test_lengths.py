"""Flags of a training reach every place of a config."""

import copy
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.config.extra_hooks import take_extra_hooks
from mmdet_ir.config.lengths import set_batch_size, set_epochs, set_iterations, set_learning_rate

import pytest
import torch
from mmdet.models.layers import ExpMomentumEMA
from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook
from mmengine.optim import MultiStepLR

REPO = Path(__file__).parents[2]
PAPER = {
    'max_epochs': 100,
    'train_cfg': {'type': 'EpochBasedTrainLoop', 'max_epochs': 100, 'val_interval': 5},
    'train_dataloader': {'batch_size': 2},
    'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.001}},
    'param_scheduler': [
        {'type': 'LinearLR', 'by_epoch': False, 'begin': 0, 'end': 500},
        {'type': 'MultiStepLR', 'by_epoch': True, 'begin': 0, 'end': 100, 'milestones': [70, 90]},
        {'type': 'CosineAnnealingLR', 'T_max': 50, 'begin': 50, 'end': 100, 'convert_to_iter_based': True},
        {'type': 'ReduceOnPlateauLR', 'monitor': 'coco/segm_mAP', 'end': 100},
    ],
    'custom_hooks': [{'type': 'PipelineSwitchHook', 'switch_epoch': 80}],
    'default_hooks': {'checkpoint': {'interval': 20}},
}


@pytest.fixture
def cfg() -> Config:
    return Config(copy.deepcopy(PAPER))


def test_epochs_reach_every_place(cfg: Config) -> None:
    set_epochs(cfg, 10)
    assert cfg.max_epochs == cfg.train_cfg.max_epochs == 10 and cfg.train_cfg.val_interval == 5
    warm_up, steps, cosine, plateau = cfg.param_scheduler
    assert (warm_up.begin, warm_up.end) == (0, 50) and (steps.begin, steps.end, steps.milestones) == (0, 10, [7, 9])
    assert (cosine.T_max, cosine.begin, cosine.end) == (5, 5, 10) and plateau.end == 100
    assert cfg.custom_hooks[0].switch_epoch == 8 and cfg.default_hooks.checkpoint.interval == 10
    set_epochs(cfg, 1)  # milestones beyond the training are left out
    assert cfg.train_cfg.val_interval == 1 and cfg.param_scheduler[1].milestones == []


def test_what_the_last_epochs_need(cfg: Config) -> None:
    cfg.custom_hooks = [{'type': 'YOLOXModeSwitchHook', 'num_last_epochs': 20}]
    cfg.train_cfg.dynamic_intervals = [(80, 1)]
    cfg.param_scheduler = {
        'generator': {'type': 'CosineRestartLR', 'periods': [50, 30, 20], 'restart_weights': [1, 0.5, 0.2]},
        'critic': [{'type': 'CosineAnnealingLR', 'begin': 50, 'end': 101, 'T_max': 51}],
    }
    set_epochs(cfg, 10)
    assert cfg.custom_hooks[0].num_last_epochs == 2 and cfg.train_cfg.dynamic_intervals == [(8, 1)]
    assert cfg.param_scheduler.generator.periods == [5, 3, 2]
    (cosine,) = cfg.param_scheduler.critic
    assert (cosine.begin, cosine.end, cosine.T_max) == (5, 10, 5)
    set_epochs(cfg, 1)
    assert cfg.custom_hooks[0].num_last_epochs == 1  # mosaic still ends


def test_a_rate_falls_as_often_as_before(cfg: Config) -> None:
    """Milestones that meet are counted twice by MMEngine: its schedule ends at a hundredth, as before."""
    set_epochs(cfg, 5)
    schedule = cfg.param_scheduler[1]
    assert schedule.milestones == [4, 4]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = MultiStepLR(optimizer, milestones=schedule.milestones, gamma=0.1)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(0.01)


def test_milestones_in_steps_are_no_epochs(cfg: Config) -> None:
    cfg.param_scheduler = [{'type': 'MultiStepLR', 'by_epoch': False, 'milestones': [14000, 18000]}]
    set_epochs(cfg, 20)
    assert cfg.param_scheduler[0].milestones == [2800, 3600]
    set_epochs(cfg, 200)
    assert cfg.param_scheduler[0].milestones == [28000, 36000]


def test_validations_begin_at_their_share_of_the_training(cfg: Config) -> None:
    cfg.train_cfg.val_begin = 50
    set_epochs(cfg, 20)
    assert cfg.train_cfg.val_begin == 10
    cfg.train_cfg.val_begin = 1
    set_epochs(cfg, 100)
    assert cfg.train_cfg.val_begin == 1
    counted = Config({'train_cfg': {'type': 'IterBasedTrainLoop', 'max_iters': 400, 'val_begin': 300}})
    set_iterations(counted, 80)
    assert counted.train_cfg.val_begin == 60


def test_one_test_at_the_end_stays_there(cfg: Config) -> None:
    cfg.train_cfg.val_interval = 100
    set_epochs(cfg, 300)
    assert cfg.train_cfg.val_interval == 300 and cfg.param_scheduler[1].milestones == [210, 270]


def test_the_warm_up_keeps_its_share_with_another_batch(cfg: Config) -> None:
    set_batch_size(cfg, 8)  # a quarter of the steps
    assert cfg.train_dataloader.batch_size == 8 and cfg.param_scheduler[0].end == 125
    assert cfg.param_scheduler[1].end == 100 and cfg.optim_wrapper.optimizer.lr == 0.001


def test_iterations(cfg: Config) -> None:
    counted = Config(
        {
            'train_cfg': {'type': 'IterBasedTrainLoop', 'max_iters': 400},
            'param_scheduler': [
                {'type': 'LinearLR', 'by_epoch': False, 'end': 50},
                {'type': 'CosineAnnealingLR', 'by_epoch': False, 'T_max': 400},
            ],
        }
    )
    set_iterations(counted, 80)
    assert [s.get('end') or s.T_max for s in counted.param_scheduler] == [10, 80]
    with pytest.raises(ValueError, match=r'counts epochs, got one of 80 steps: .* train_cfg\.max_iters=N, where N ='):
        set_epochs(counted, 3)


@pytest.mark.parametrize('value', [0, -1, float('nan'), float('inf'), True])
def test_numbers_without_a_meaning_are_refused(cfg: Config, value: float) -> None:
    for setter in (set_epochs, set_batch_size, set_learning_rate):
        if setter is not set_learning_rate or value is not True:
            with pytest.raises(ValueError, match='expected a (number|learning rate)'):
                setter(cfg, value)


def test_places_that_a_config_lacks_are_named() -> None:
    with pytest.raises(ValueError, match=r'expected train_dataloader\.batch_size'):
        set_batch_size(Config({'train_dataloader': {'batch_sampler': {}}}), 2)
    with pytest.raises(ValueError, match=r'expected optim_wrapper\.optimizer\.lr'):
        set_learning_rate(Config({'optim_wrapper': {'constructor': 'Two'}}), 0.1)


def test_hooks_come_from_base_files(tmp_path: Path) -> None:
    """Beside a whole config, whose own hooks stay."""
    repo = Path(__file__).parents[2]
    bases = [f'{repo}/configs/{name}' for name in ('quickstart/mask_rcnn_real.py', '_base_/hooks/ema.py')]
    (tmp_path / 'mine.py').write_text(f'_base_ = {[*bases, f"{repo}/configs/_base_/hooks/early_stopping.py"]!r}\n')
    kinds = [hook.type for hook in take_extra_hooks(Config.fromfile(tmp_path / 'mine.py')).custom_hooks]
    assert kinds == [*[h.type for h in Config.fromfile(bases[0]).custom_hooks], 'EMAHook', 'EarlyStoppingHook']
    with pytest.raises(ValueError, match=r"ema_hook: expected dict\(type=...\), a hook, got 'yes'"):
        take_extra_hooks(Config({'ema_hook': 'yes'}))


def test_one_moving_average_takes_the_place_of_another() -> None:
    """The config of `edge` has one already; a second one would exchange the weights crosswise."""
    mine = {'type': 'EMAHook', 'momentum': 0.002}
    cfg = Config(
        {'custom_hooks': [mine, {'type': 'NumClassCheckHook'}], 'ema_hook': {'type': 'EMAHook', 'gamma': 300}}
    )
    assert take_extra_hooks(cfg).custom_hooks == [{'type': 'NumClassCheckHook'}, {'type': 'EMAHook', 'gamma': 300}]
    with pytest.raises(ValueError, match='custom_hooks: expected one EMAHook, got 2'):
        take_extra_hooks(Config({'custom_hooks': [mine, {'type': 'mmengine.EMAHook'}]}))


def test_a_short_training_has_a_moving_average() -> None:
    """After 1000 steps the newest weights count for less than 5 %; with mmengine's own gamma for 61 %."""
    hook = Config.fromfile(REPO / 'configs/_base_/hooks/ema.py').ema_hook
    weights = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(weights.weight)
    average = ExpMomentumEMA(weights, momentum=hook.momentum, gamma=hook.gamma)
    average.steps.fill_(1000)
    torch.nn.init.ones_(weights.weight)
    average.update_parameters(weights)
    assert 0.01 < average.module.weight.item() < 0.05


def test_a_score_that_is_nan_ends_no_training() -> None:
    hook = dict(Config.fromfile(REPO / 'configs/_base_/hooks/early_stopping.py').early_stopping_hook)
    assert EarlyStoppingHook(**{k: v for k, v in hook.items() if k != 'type'})._check_stop_condition(float('nan')) == (
        False,
        '',
    )
