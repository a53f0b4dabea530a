"""``--load-from none``: no weights of anybody, in any place of a model."""

from pathlib import Path

import mmdet_ir
from mmdet_ir.config.random_start import start_from_random_weights

import pytest
from mmengine.config import Config

CONFIGS = Path(mmdet_ir.__file__).parents[1] / 'configs'


@pytest.mark.parametrize(
    ('name', 'changed'),
    [
        ('ir/mask_rcnn.py', {'load_from', 'init_cfg', 'frozen_stages'}),
        ('baselines/solov2_r50_fpn.py', {'load_from', 'init_cfg', 'frozen_stages'}),
        ('baselines/sparseinst_r50_giam.py', {'init_cfg', 'frozen_stages', 'requires_grad'}),
        ('baselines/rtmdet-ins_tiny.py', {'load_from', 'init_cfg'}),
        ('edge/mask_rcnn_lite0_real.py', {'imagenet', 'frozen_stages'}),
        ('quickstart/mask_rcnn_real.py', set()),
    ],
)
def test_no_weights_are_left_in_any_config(name: str, changed: set[str]) -> None:
    cfg = Config.fromfile(CONFIGS / name)
    told = start_from_random_weights(cfg)
    assert {phrase.partition('=')[0].rpartition('.')[2] for phrase in told} - {'norm_eval'} == changed
    text = cfg.pretty_text
    assert 'Pretrained' not in text and '://' not in text and cfg.load_from is None
    assert cfg.model.backbone.get('frozen_stages', -1) == -1 and not cfg.model.backbone.get('norm_eval')
    assert start_from_random_weights(cfg) == []


def test_other_ways_to_initialise_stay() -> None:
    normal, loaded = {'type': 'Normal', 'layer': 'Conv2d'}, {'type': 'Pretrained', 'checkpoint': 'a.pth'}
    teacher = {'detector': {'backbone': {'init_cfg': [normal, loaded]}}, 'neck': {'init_cfg': normal}}
    cfg = Config({'model': {**teacher, 'heads': [{'init_cfg': loaded}], 'pretrained': 'torchvision://resnet50'}})
    told = start_from_random_weights(cfg)
    assert cfg.model.detector.backbone.init_cfg == [normal] and cfg.model.neck.init_cfg == normal
    assert cfg.model.heads[0].init_cfg is None and cfg.model.pretrained is None and len(told) == 3
