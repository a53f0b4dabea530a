from pathlib import Path

from mmdet_ir import experiments
from mmdet_ir.analysis.robustness import SEVERITIES
from mmdet_ir.experiments.cells import load_sizes

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


@pytest.mark.parametrize('data', load_sizes()['study'].values(), ids=str)
def test_cells_of_the_study_keep_to_the_protocol(data):
    cfg = Config.fromfile(REPO / data.bases['configs/ir/mask_rcnn.py'])
    fine_tuning = PROTOCOL['fine_tuning']
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].T_max == fine_tuning['steps']
    assert cfg.train_dataloader.batch_size == fine_tuning['crops_per_step']
    parts = Config.fromfile(REPO / PROTOCOL['data'][data.name]['base'])
    assert cfg.train_dataloader.dataset.data_root == parts.train_dataloader.dataset.data_root
    assert cfg.train_dataloader.dataset.pipeline == parts.train_dataloader.dataset.pipeline
    assert cfg.load_from == 'results/starts/plain.pth' and (REPO / cfg.load_from).is_file()


@pytest.mark.parametrize('name', load_sizes()['scratch']['real'].bases.values())
def test_models_from_scratch_are_watched_on_the_part_for_choices(name):
    cfg, parts = Config.fromfile(REPO / name), PROTOCOL['data']['real']
    loaders = [cfg[f'{part}_dataloader'].dataset.ann_file for part in ('train', 'val', 'test')]
    assert loaders == [parts['train'], parts['choices'], parts['test']]
    assert cfg.val_evaluator.ann_file == f'data/real/{parts["choices"]}'
    assert cfg.test_evaluator.ann_file == f'data/real/{parts["test"]}'
