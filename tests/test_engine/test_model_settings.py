"""Weights fit a model whose parameters they have; what the model computes from them may still be something else."""

import copy
import logging
from pathlib import Path
from types import SimpleNamespace

import mmdet_ir
from mmdet_ir.engine import load_detector
from mmdet_ir.engine.fitting.fitting_hook import FittingHook
from mmdet_ir.engine.fitting.model_settings import model_settings, other_settings
from mmdet_ir.model_zoo import checkpoint_file

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

CONFIG = Path(mmdet_ir.__file__).parents[1] / 'configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_real.py'
BYPASS = 'neck.plugin.residual was True and is False'


@pytest.fixture(scope='module')
def cfg() -> Config:
    init_default_scope('mmdet')
    return Config.fromfile(CONFIG)


@pytest.fixture(scope='module')
def trained(cfg: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a model with a bypass around BNSA, which has no parameter; their file holds the config as text."""
    theirs = copy.deepcopy(cfg)
    theirs.model.neck.plugin.residual = True
    path = tmp_path_factory.mktemp('trained') / 'weights.pth'
    torch.save({'state_dict': MODELS.build(theirs.model).state_dict(), 'meta': {'cfg': theirs.pretty_text}}, path)
    return path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr('mmdet_ir.engine.fitting.model_settings.print_log', lambda text, *_: lines.append(text))
    return lines


def test_a_model_that_computes_something_else_is_told(cfg: Config, trained: Path, told: list[str]) -> None:
    load_detector(cfg, str(trained), 'cpu')
    assert told == [f'{trained}: its model was trained with other settings, which no parameter tells: {BYPASS}']


@pytest.mark.parametrize('training', [True, False])
def test_trainings_and_tests_tell_it_as_well(cfg: Config, trained: Path, told: list[str], training: bool) -> None:
    init_default_scope('mmdet')
    runner = SimpleNamespace(
        model=MODELS.build(cfg.model),
        cfg=cfg,
        logger=logging.getLogger('toy'),
        _load_from=str(trained),
        _resume=False,
        _train_loop=None,
        _val_loop=None,
        _test_loop=None,
    )
    FittingHook(training).after_load_checkpoint(runner, torch.load(trained, weights_only=True))
    assert [line.rpartition(': ')[2] for line in told] == [BYPASS]


def test_the_same_model_is_no_other(cfg: Config, trained: Path, told: list[str]) -> None:
    own = copy.deepcopy(cfg)
    own.model.neck.plugin.residual = True
    own.model.roi_head.bbox_head.loss_bbox.gamma = 0.25  # a loss is no part of what is computed
    own.model.backbone.norm_eval = not own.model.backbone.get('norm_eval', False)
    load_detector(own, str(trained), 'cpu')
    assert told == []


def test_the_model_of_the_package_has_a_bypass_and_one_channel(cfg: Config) -> None:
    theirs = model_settings({}, checkpoint_file('edge'))
    assert other_settings(theirs, cfg.model) == [
        'data_preprocessor.mean was [114.495] and is [123.675, 116.28, 103.53]',
        'data_preprocessor.std was [57.63] and is [58.395, 57.12, 57.375]',
        BYPASS,
    ]


@pytest.mark.parametrize(
    'config', ['ir/mask_rcnn_bnsa.py', 'baselines/solov2_r50_fpn.py', 'edge/mask_rcnn_edge_real.py']
)
def test_a_config_as_text_is_the_config(config: str) -> None:
    cfg = Config.fromfile(CONFIG.parents[1] / config)
    settings = model_settings({'meta': {'cfg': cfg.pretty_text}}, 'weights.pth')
    assert settings['backbone']['depth'] == cfg.model.backbone.depth
    assert other_settings(settings, cfg.model) == []


def test_a_setting_that_is_left_out_has_its_default() -> None:
    with_default, without = (
        {'neck': {'type': 'mmdet.FPN', **more}} for more in ({'relu_before_extra_convs': False}, {})
    )
    assert other_settings(with_default, {'neck': {'type': 'FPN'}}) == []
    assert other_settings({'neck': {'type': 'FPN', 'relu_before_extra_convs': True}}, without) == [
        'neck.relu_before_extra_convs was True and is False'
    ]
    assert other_settings({'neck': {'type': 'PluginFPN'}}, without) == []
    tuples, lists = ({'backbone': {'type': 'ResNet', 'strides': kind((1, 2, 2, 1))}} for kind in (tuple, list))
    assert other_settings(tuples, lists) == []
    assert other_settings({'backbone': {'type': 'ResNet'}}, lists) == [
        'backbone.strides was (1, 2, 2, 2) and is [1, 2, 2, 1]'
    ]


def test_what_is_computed_counts_and_what_is_trained_does_not() -> None:
    def model(**backbone: object) -> dict:
        return {'data_preprocessor': {'mean': [0.5]}, 'backbone': {'type': 'CSPNeXt', **backbone}}

    relu, leaky = {'type': 'ReLU', 'inplace': True}, {'type': 'LeakyReLU', 'inplace': True}
    assert other_settings(model(act_cfg=relu), model(act_cfg=leaky)) == [
        'backbone.act_cfg.type was ReLU and is LeakyReLU'
    ]
    norm = {'type': 'BN', 'momentum': 0.03, 'eps': 0.001}
    assert other_settings(model(act_cfg=relu, norm_cfg=norm), model(act_cfg={'type': 'ReLU'}, norm_cfg=norm)) == []
    other = norm | {'momentum': 0.1, 'eps': 1e-5}
    assert other_settings(model(norm_cfg=norm), model(norm_cfg=other)) == [
        'backbone.norm_cfg.eps was 0.001 and is 1e-05'
    ]
    bare = model() | {'data_preprocessor': {}}
    assert other_settings(model(), bare) == ['data_preprocessor.mean was [0.5] and is None']
    assert other_settings({'detector': model()}, {'detector': bare}) == other_settings(model(), bare)
    views = {'type': 'IRTTAModel', 'module': bare}  # under --tta
    assert other_settings(model(), views) == other_settings(model(), bare)
    necks = [{'neck': [{'type': 'FPN'}, {'type': 'BFP', 'refine_type': kind}]} for kind in ('conv', 'non_local')]
    assert other_settings(*necks) == ['neck[1].refine_type was conv and is non_local']


@pytest.mark.parametrize(
    'text',
    [
        'import os\nmodel = dict(neck=os.mkdir("ran"))',
        'model = dict(**other)',
        'model = [1]',
        'optimizer = dict(lr=1)',
        'model = dict(',
        'model = {[1]: 2}',
        7,
    ],
)
def test_a_text_that_is_no_plain_config_is_not_run(text: object, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_settings({'meta': {'cfg': text}}, 'weights.pth') is None
    assert model_settings({'meta': text}, 'weights.pth') is None
    assert list(tmp_path.iterdir()) == []
