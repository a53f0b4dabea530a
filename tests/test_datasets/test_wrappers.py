"""Every wrapper of mmengine and MMDetection, alone and within each other, opens to the same images."""

import json
from collections.abc import Callable
from pathlib import Path

from mmdet_ir.apis.tta import set_tta
from mmdet_ir.datasets.images.tone_statistics import measure_window
from mmdet_ir.datasets.wrappers import assign, build_leaves, leaves, owners, pipeline_steps, wrapped
from mmdet_ir.experiments.jobs import missing_data
from mmdet_ir.experiments.records import data_fingerprint

import cv2
import mmdet.datasets.dataset_wrappers
import mmengine.dataset.dataset_wrapper
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

LOAD = [{'type': 'LoadIRImageFromFile'}, {'type': 'LoadAnnotations', 'with_bbox': True}]
PACK = {'type': 'PackDetInputs', 'meta_keys': ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')}
PLAIN = [*LOAD, {'type': 'Resize', 'scale': (24, 16), 'keep_ratio': False}, PACK]

WRAPPERS: dict[str, Callable[[dict], dict]] = {
    'none': lambda one: one,
    'repeat': lambda one: {'type': 'RepeatDataset', 'times': 2, 'dataset': one},
    'balanced': lambda one: {'type': 'ClassBalancedDataset', 'oversample_thr': 0.9, 'dataset': one},
    'concat': lambda one: {'type': 'ConcatDataset', 'datasets': [one]},
    'mix': lambda one: {
        'type': 'MultiImageMixDataset',
        'dataset': {**one, 'pipeline': one['pipeline'][:-1]},
        'pipeline': [one['pipeline'][-1]],
    },
    'nested': lambda one: {
        'type': 'RepeatDataset',
        'times': 2,
        'dataset': {
            'type': 'ConcatDataset',
            'datasets': [{'type': 'ClassBalancedDataset', 'oversample_thr': 0.9, 'dataset': one}],
        },
    },
}


@pytest.fixture(autouse=True)
def mmdet_scope() -> None:
    init_default_scope('mmdet')


@pytest.fixture
def one(tmp_path: Path) -> dict:
    """The config of a set of two images, grey values 40 and 200."""
    (tmp_path / 'images').mkdir()
    images, annotations = [], []
    for number, grey in enumerate((40, 200), 1):
        cv2.imwrite(str(tmp_path / 'images' / f'{number}.png'), np.full((16, 24), grey, np.uint8))
        images.append({'id': number, 'file_name': f'{number}.png', 'width': 24, 'height': 16})
        annotations.append(
            {'id': number, 'image_id': number, 'category_id': number, 'bbox': [2, 3, 8, 6], 'area': 48, 'iscrowd': 0}
        )
    categories = [{'id': i, 'name': name} for i, name in enumerate(('human', 'car', 'bicycle', 'uav'), 1)]
    coco = {'images': images, 'annotations': annotations, 'categories': categories}
    (tmp_path / 'set.json').write_text(json.dumps(coco))
    return {
        'type': 'IRDataset',
        'data_root': f'{tmp_path}/',
        'ann_file': 'set.json',
        'data_prefix': {'img': 'images/'},
        'pipeline': PLAIN,
    }


def test_the_wrappers_above_are_all_there_are() -> None:
    """One that a new version adds has to be tried."""
    known = {'ConcatDataset', 'RepeatDataset', 'ClassBalancedDataset', 'MultiImageMixDataset'}
    modules = mmengine.dataset.dataset_wrapper, mmdet.datasets.dataset_wrappers
    found = {name for module in modules for name in vars(module) if name.endswith('Dataset') and name[0].isupper()}
    assert found - {'BaseDataset', '_ConcatDataset', 'MMENGINE_ConcatDataset'} == known


@pytest.mark.parametrize('name', WRAPPERS)
def test_built_and_configured_they_open_alike(name: str, one: dict) -> None:
    config = ConfigDict(WRAPPERS[name](one))
    built = DATASETS.build(config)
    assert (
        [type(leaf).__name__ for leaf in leaves(built)] == [leaf['type'] for leaf in leaves(config)] == ['IRDataset']
    )
    assert len(wrapped(config)) == len(wrapped(built)) == (name != 'none')
    assert [step['type'] for step in pipeline_steps(config)] == [step['type'] for step in PLAIN]
    assert [leaf.get_data_info(i)['img_id'] for leaf in build_leaves(config) for i in range(len(leaf))] == [1, 2]


@pytest.mark.parametrize('name', WRAPPERS)
def test_tools_that_read_a_data_set_read_it_in_wrappers(name: str, one: dict, tmp_path: Path) -> None:
    config = ConfigDict(WRAPPERS[name](one))
    assert measure_window(config, 0, 100) == (40, 200)
    assert [entry['images'] for entry in data_fingerprint(config)] == [2]
    loaders = {'train_dataloader': {'dataset': config}, 'test_dataloader': {'dataset': config}}
    assert missing_data(Config(loaders)) == []
    (tmp_path / 'set.json').unlink()
    assert missing_data(Config(loaders)) == [f'{tmp_path}/set.json'] * 2


@pytest.mark.parametrize('name', WRAPPERS)
def test_test_time_augmentation_reaches_the_data_set(name: str, one: dict) -> None:
    cfg = Config({'test_dataloader': {'dataset': WRAPPERS[name](one)}, 'model': {'type': 'MaskRCNN'}})
    set_tta(cfg)
    item = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert [sample.flip for sample in item['data_samples']] == [False, True]


def test_a_set_of_several_parts_is_told_in_its_order(one: dict) -> None:
    parts = [one, {**one, 'indices': 1}]
    config = ConfigDict(WRAPPERS['repeat']({'type': 'ConcatDataset', 'datasets': parts}))
    assert [len(leaf) for leaf in build_leaves(config)] == [2, 1]
    assert len(data_fingerprint(config)) == 2


@pytest.mark.parametrize('name', WRAPPERS)
def test_a_pipeline_that_is_assigned_is_run(name: str, one: dict) -> None:
    """With a wrapper that has a pipeline of its own, this is the one that is meant."""
    built = DATASETS.build(WRAPPERS[name](one))
    shrink = DATASETS.build({**one, 'pipeline': [{'type': 'Resize', 'scale': (12, 8)}, PACK]}).pipeline
    steps = shrink.transforms if name == 'mix' else [*leaves(built)[0].pipeline.transforms[:2], *shrink.transforms]
    assign(built, 'pipeline', type(shrink)(steps))
    assert built[0]['inputs'].shape == (3, 8, 12)


def test_an_attribute_that_none_has_is_set_in_all(one: dict) -> None:
    built = DATASETS.build(WRAPPERS['nested'](one))
    assert owners(built, 'new') == []
    assign(built, 'new', 5)
    assert built.new == built.dataset.new == leaves(built)[0].new == 5
