from pathlib import Path

from mmdet_ir import experiments
from mmdet_ir.analysis.robustness import SEVERITIES

import pytest
import yaml
from mmengine.config import Config

REPO = Path(experiments.__file__).parents[2]
PROTOCOL = yaml.safe_load((REPO / 'mmdet_ir' / 'experiments' / 'protocol.yaml').read_text())


def test_what_the_protocol_names_is_there():
    configs = [rung['config'] for rung in PROTOCOL['ladder']] + list(PROTOCOL['starts'].values())
    configs += [entry['base'] for entry in PROTOCOL['data'].values()]
    assert [config for config in configs if not (REPO / config).is_file()] == []
    assert {rung['of'] for rung in PROTOCOL['ladder']} == {'paper', 'us'}
    assert set(PROTOCOL['robustness']['models']) <= {rung['name'] for rung in PROTOCOL['ladder']}
    assert PROTOCOL['robustness']['severities'] == list(SEVERITIES)


def test_choices_are_not_made_on_the_test_dates():
    cfg = Config.fromfile(REPO / PROTOCOL['data']['real']['base'])
    parts = {name: PROTOCOL['data']['real'][name] for name in ('train', 'choices', 'test')}
    loaders = {'train': cfg.train_dataloader, 'choices': cfg.val_dataloader, 'test': cfg.test_dataloader}
    assert {name: loader.dataset.ann_file for name, loader in loaders.items()} == parts
    assert len(set(parts.values())) == 3
    assert cfg.val_evaluator.ann_file.endswith(parts['choices']) and cfg.test_evaluator.ann_file.endswith(
        parts['test']
    )


@pytest.mark.parametrize('base', ['configs/_base_/datasets/real.py', 'configs/quickstart/mask_rcnn_real.py'])
def test_older_configs_validate_as_before(base):
    cfg = Config.fromfile(REPO / base)
    assert cfg.val_dataloader.dataset.ann_file == cfg.test_dataloader.dataset.ann_file == 'annotations/val.json'
