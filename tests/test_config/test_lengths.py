"""Flags of a training reach every place of a config."""

import copy
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.config.extra_hooks import take_extra_hooks
from mmdet_ir.config.lengths import set_batch_size, set_epochs, set_iterations, set_learning_rate

import pytest
from mmengine.config import Config

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
