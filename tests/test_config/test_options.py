"""Options over a config change what they name, everywhere, or are refused with the name that was meant."""

from collections.abc import Callable
from pathlib import Path

from mmdet_ir.config.options import read_config, refuse_variables, with_options

import pytest
from mmengine.config import Config

REPO = Path(__file__).parents[2]
SYNTHETIC = str(REPO / 'configs/quickstart/mask_rcnn_synthetic.py')
IR16 = str(REPO / 'configs/ir/mask_rcnn_ir16.py')

BASE = """
data_root = 'data/base/'
size = (64, 48)
pipeline = [dict(type='LoadIRImageFromFile'), dict(type='Resize', scale=size), dict(type='PackDetInputs')]
train_dataloader = dict(batch_size=2, dataset=dict(type='IRDataset', data_root=data_root, pipeline=pipeline))
val_dataloader = dict(dataset=dict(type='IRDataset', data_root=data_root, pipeline=pipeline))
val_evaluator = dict(type='IRCocoMetric', ann_file=data_root + 'val.json')
max_epochs = 3
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True)]
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
model = dict(type='MaskRCNN', backbone=dict(type='ResNet', depth=18), test_cfg=dict(rcnn=dict(score_thr=0.05)))
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes ``base.py`` and a config on it; returns the latter's name."""

    def written(text: str = '', base: str = BASE) -> str:
        (tmp_path / 'base.py').write_text(base)
        (tmp_path / 'own.py').write_text("_base_ = './base.py'\n" + text)
        return str(tmp_path / 'own.py')

    return written


def replaced(value: object, old: object, new: object) -> object:
    """A slow reference: every place that holds a value, or a text that begins with it, gets another."""
    if isinstance(value, dict):
        return {key: replaced(part, old, new) for key, part in value.items()}
    if isinstance(value, list | tuple) and value != old:
        return type(value)(replaced(part, old, new) for part in value)
    if isinstance(old, str) and isinstance(value, str) and value.startswith(old):
        return new + value.removeprefix(old)
    return new if value == old else value


@pytest.mark.parametrize(
    ('variable', 'old', 'new'),
    [('data_root', 'data/synthetic/', 'elsewhere/'), ('image_size', (320, 256), (160, 128))],
)
def test_a_variable_reaches_every_place(variable: str, old: object, new: object) -> None:
    plain = Config.fromfile(SYNTHETIC).to_dict()
    changed = read_config(SYNTHETIC, {variable: new}).to_dict()
    assert changed == replaced(plain, old, new)
    assert changed != plain


def test_an_entry_of_a_variable_reaches_every_place() -> None:
    cfg = read_config(IR16, {'tone_mapping.method': 'minmax'})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert [step.method for step in loader.dataset.pipeline if step.type == 'ToneMapping'] == ['minmax']


def test_epochs_reach_the_schedule() -> None:
    cfg = read_config(SYNTHETIC, {'max_epochs': 2})
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval, cfg.param_scheduler[1].T_max) == (2, 2, 2)
    assert Config.fromfile(SYNTHETIC).train_cfg.max_epochs == 6  # (the reader is as it was)


def test_an_option_beside_a_variable_is_the_stronger() -> None:
    cfg = read_config(SYNTHETIC, {'data_root': 'new/', 'val_dataloader.dataset.data_root': 'other/'})
    assert cfg.train_dataloader.dataset.data_root == 'new/'
    assert cfg.val_dataloader.dataset.data_root == 'other/'


def test_a_place_that_does_not_use_the_variable_is_told(write: Callable[..., str]) -> None:
    name = write("train_dataloader = dict(dataset=dict(data_root='data/base/'))")
    with pytest.raises(ValueError, match='old value .*data/base/.* out at train_dataloader.dataset.data_root'):
        read_config(name, {'data_root': 'new/'})
    both = read_config(name, {'data_root': 'new/', 'train_dataloader.dataset.data_root': 'new/'})
    assert both.train_dataloader.dataset.data_root == both.val_dataloader.dataset.data_root == 'new/'


def test_a_variable_that_a_file_sets_anew_reaches_what_its_base_computed(write: Callable[..., str]) -> None:
    name = write("data_root = 'data/own/'\ntrain_dataloader = dict(dataset=dict(data_root=data_root))")
    cfg = read_config(name, {'data_root': 'new/'})
    assert cfg.train_dataloader.dataset.data_root == cfg.val_dataloader.dataset.data_root == 'new/'
    assert cfg.val_evaluator.ann_file == 'new/val.json'


def test_a_variable_in_pure_python_style(tmp_path: Path) -> None:
    (tmp_path / 'base.py').write_text(BASE)
    own = 'from mmengine.config import read_base\nwith read_base():\n    from .base import *\n'
    (tmp_path / 'own.py').write_text(own + 'test_dataloader = dict(dataset=dict(data_root=data_root))\n')
    cfg = read_config(str(tmp_path / 'own.py'), {'data_root': 'new/'})
    assert cfg.test_dataloader.dataset.data_root == cfg.train_dataloader.dataset.data_root == 'new/'


@pytest.mark.parametrize(
    ('options', 'meant'),
    [
        ({'load_form': 'a.pth'}, 'load_from'),
        ({'lr': 0.1}, 'optim_wrapper.optimizer.lr'),
        ({'max_epoch': 2}, 'max_epochs'),
        ({'batch_size': 2}, 'train_dataloader.batch_size'),
        ({'train_dataloder.batch_size': 2}, 'train_dataloader.batch_size'),
        ({'optim_wrapper.optimzer.lr': 0.1}, 'optim_wrapper.optimizer'),
        ({'default_hooks.chekpoint.interval': 1}, 'default_hooks.checkpoint'),
        ({'model.test_cfg.rcn.score_thr': 0.3}, 'model.test_cfg.rcnn'),
        ({'model.test_cfg.rcnn.score_th': 0.3}, 'model.test_cfg.rcnn.score_thr'),
        ({'model.backbone.dept': 50}, 'model.backbone.depth'),
        ({'model.backbone.frozen_stage': 1}, 'model.backbone.frozen_stages'),
        ({'train_dataloader.dataset.data_rot': 'x'}, 'train_dataloader.dataset.data_root'),
        ({'val_evaluator.outfile_prefx': 'x'}, 'val_evaluator.outfile_prefix'),
        ({'randomness.sed': 1}, 'randomness.seed'),
        ({'env_cfg.cudnn_benchmrk': True}, 'env_cfg.cudnn_benchmark'),
    ],
)
def test_what_would_change_nothing_is_refused(write: Callable[..., str], options: dict, meant: str) -> None:
    with pytest.raises(ValueError, match='--cfg-options') as caught:
        read_config(write(), options)
    assert f'did you mean {meant}' in str(caught.value)


def test_what_a_class_does_not_take_is_refused(write: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=r"expected an entry of train_cfg, one of .*'max_epochs'.*, got 'max_iter'"):
        read_config(write(), {'train_cfg.max_iter': 3})


def test_a_variable_that_nothing_uses_is_refused(write: Callable[..., str]) -> None:
    name = write("unused = 'abc'")
    with pytest.raises(ValueError, match="computes nothing that is used from 'unused'"):
        read_config(name, {'unused': 'x'})
    assert read_config(name, {'unused': 'abc'}).unused == 'abc'  # its own value


@pytest.mark.parametrize(
    'options',
    [
        {'model.backbone.frozen_stages': 1},
        {'randomness.seed': 7},
        {'val_evaluator.outfile_prefix': 'x'},
        {'load_from': 'x.pth'},
        {'experiment_name': 'x'},
        {'env_cfg.mp_cfg.mp_start_method': 'spawn'},
        {'env_cfg.dist_cfg.backend': 'gloo'},
        {'train_dataloader.num_workers': 1},
        {'train_dataloader.dataset.indices': 5},
        {'train_dataloader.dataset.metainfo.classes': ('a', 'b')},
        {'default_hooks.checkpoint.save_best': 'auto'},
        {'default_hooks.checkpoint.priority': 'LOW'},
        {'optim_wrapper.paramwise_cfg.norm_decay_mult': 0},
        {'optim_wrapper.accumulative_counts': 2},
        {'param_scheduler.0.convert_to_iter_based': True},
        {'model.backbone.init_cfg.type': 'Pretrained', 'model.backbone.init_cfg.checkpoint': 'x'},
        {'model.backbone.norm_cfg.type': 'BN', 'model.backbone.norm_cfg.requires_grad': False},
        {'tta_views.flips': ['vertical']},
        {'auto_scale_lr.enable': True},
        {'find_unused_parameters': True},
        {'detect_anomalous_params': True},
        {'sync_bn': 'torch'},
        {'model_wrapper_cfg.type': 'MMDistributedDataParallel'},
        {'visualizer.type': 'DetLocalVisualizer', 'visualizer.name': 'x'},
        {'default_hooks.own.type': 'IterTimerHook'},
    ],
)
def test_what_is_new_and_read_is_set(write: Callable[..., str], options: dict) -> None:
    cfg = read_config(write(), options)
    for key, value in options.items():
        found = cfg
        for part in key.split('.'):
            found = found[int(part)] if part.isdigit() else found[part]
        assert found == value


def test_options_that_cannot_be_merged_are_the_user_s_mistake(write: Callable[..., str]) -> None:
    for options in ({'param_scheduler.5.T_max': 2}, {'model.backbone.depth.x': 1}, {'pipeline.9.scale': 1}):
        with pytest.raises(ValueError, match='--cfg-options'):
            read_config(write(), options)


def test_a_config_without_its_file_refuses_variables(write: Callable[..., str]) -> None:
    cfg = Config.fromfile(write())
    with pytest.raises(ValueError, match='data_root: .*did you mean train_dataloader.dataset.data_root'):
        refuse_variables(cfg, {'data_root': 'x'})
    refuse_variables(cfg, {'load_from': 'x'})
    assert with_options(cfg, {'load_from': 'x'}).load_from == 'x'


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('model = dict(type=', 'SyntaxError'),
        ('model = dict(neck=nck)', "name 'nck' is not defined"),
        ('a = _base_.modell', 'modell'),
        ("a = dict(b=1)['c']", 'KeyError'),
    ],
)
def test_a_file_that_is_no_config_is_told_by_name(write: Callable[..., str], text: str, words: str) -> None:
    with pytest.raises(ValueError, match=rf'own\.py.*{words}') as told:
        read_config(write(text))
    assert '\n' not in str(told.value).strip()
