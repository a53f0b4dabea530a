"""A run from its start over an interruption to the record and the picture, with nothing replaced."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from mmdet_ir.analysis.errors.comparison import compare_models
from mmdet_ir.analysis.errors.grid import draw_comparison
from mmdet_ir.datasets.ir_dataset import IRDataset
from mmdet_ir.experiments import make_record, render_table, save_record

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, NUM_IMAGES = 96, 64, 4

CONFIG = """
_base_ = [
    '{root}/configs/_base_/models/mask_rcnn_small.py',
    '{root}/configs/_base_/datasets/ir_instance.py',
    '{root}/configs/_base_/default_runtime.py',
]
_base_.train_dataloader.dataset.data_root = '{data}/'
_base_.val_dataloader.dataset.data_root = '{data}/'
_base_.test_dataloader.dataset.data_root = '{data}/'
_base_.train_pipeline[2].scale = (96, 64)
_base_.test_pipeline[1].scale = (96, 64)
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/annotations/val.json')
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
"""


def write_data(folder):
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (folder / 'images').mkdir(parents=True)
    for image_id in range(1, NUM_IMAGES + 1):
        picture = rng.integers(0, 80, (HEIGHT, WIDTH), dtype=np.uint8)
        for label in range(4):
            x, y = 4 + 22 * label, int(rng.integers(2, 30))
            picture[y : y + 24, x : x + 16] += 100
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': label + 1,
                    'bbox': [x, y, 16, 24],
                    'area': 384,
                    'iscrowd': 0,
                    'segmentation': [[x, y, x + 16, y, x + 16, y + 24, x, y + 24]],
                }
            )
        images.append({'id': image_id, 'file_name': f'{image_id}.png', 'width': WIDTH, 'height': HEIGHT})
        cv2.imwrite(str(folder / 'images' / f'{image_id}.png'), picture)
    categories = [{'id': i, 'name': name} for i, name in enumerate(IRDataset.METAINFO['classes'], start=1)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (folder / 'annotations').mkdir()
    for split in ('train', 'val'):
        (folder / 'annotations' / f'{split}.json').write_text(json.dumps(content))
    # (keys in the order of the alphabet, no blanks)
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def run_tool(name, *arguments):
    """In a process of its own: mmengine keeps one visualizer, and so one log folder, per process."""
    command = [sys.executable, ROOT / 'tools' / name, *arguments]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    'content', ['{"coco/segm_mAP": 0.3, "step": 100}', '[1]', '{"a": 1}\n{"a": 2}', '{"metrics": 1}']
)
def test_another_file_than_that_of_the_scores_is_named(tmp_path, content):
    (tmp_path / 'scores.json').write_text(content)
    with pytest.raises(ValueError, match=r'scores\.json'):
        make_record(tmp_path / 'c.py', tmp_path, tmp_path / 'scores.json', 'tiny', 'blocks')


@pytest.mark.slow
def test_a_resumed_run_is_recorded_and_drawn(tmp_path):
    sha256 = write_data(tmp_path / 'data')
    config, work_dir = tmp_path / 'tiny.py', tmp_path / 'work'
    config.write_text(CONFIG.format(root=ROOT, data=tmp_path / 'data'))
    seed = ('--cfg-options', 'randomness.seed=7')
    start = tmp_path / 'start.pth'
    init_default_scope('mmdet')
    torch.save({'state_dict': MODELS.build(Config.fromfile(config).model).state_dict()}, start)
    started_from = hashlib.sha256(start.read_bytes()).hexdigest()
    seed = (*seed, f'load_from={start}')
    run_tool('train.py', config, '--work-dir', work_dir, *seed, 'train_cfg.max_epochs=1')
    torch.save({'state_dict': {}}, start)  # what stands there now does not count
    run_tool('train.py', config, '--work-dir', work_dir, '--resume', *seed)
    run_tool('test.py', config, work_dir / 'epoch_2.pth', '--work-dir', work_dir)
    assert (len(list(work_dir.glob('*/metrics_val_4.json')))) == 1  # validation after 2 epochs of 2 batches
    (metrics_json,) = work_dir.glob('*/metrics_test.json')

    record = make_record(config, work_dir, metrics_json, title='tiny', data_title='blocks')
    assert record['training'].pop('wall_time_seconds') > 0
    assert record['training'] == {'epochs': 2, 'iterations': 4, 'batch_size': 2, 'sessions': 2}
    assert record['initial_weights'] == started_from
    overrides = {'randomness.seed': 7, 'train_cfg.max_epochs': 1, 'load_from': str(start)}
    assert record['config_overrides'] == overrides
    assert record['seed'] == 7 and record['precision'] == 'float32'
    assert record['environment_from'] == 'start of the training'
    assert record['versions']['torch'] == torch.__version__.split('+')[0]
    for split in ('train', 'test'):
        (entry,) = record['data'][split]
        assert entry['sha256'] == sha256 and entry['images'] == NUM_IMAGES
    assert record['tested_checkpoint'] == 'epoch_2.pth' and record['tested_images'] == NUM_IMAGES
    # parameters = the saved weights less BatchNorm's statistics
    state = torch.load(work_dir / 'epoch_2.pth', weights_only=True)['state_dict']
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    assert record['parameters'] == sum(value.numel() for key, value in state.items() if not key.endswith(statistics))
    assert record['metrics']['segm']['all']['targets'] == 4 * NUM_IMAGES
    assert record['metrics'] == json.loads(metrics_json.read_text())['metrics']

    save_record(record, tmp_path / 'results' / 'tiny.json')
    assert json.loads((tmp_path / 'results' / 'tiny.json').read_text())['title'] == 'tiny'
    assert '| tiny | blocks |' in render_table([record])

    trained = compare_models([(config, work_dir / 'epoch_2.pth')], device='cpu')
    drawn = draw_comparison(trained, tmp_path / 'grid.png', num=2)
    picture = cv2.imread(str(tmp_path / 'grid.png'))
    assert len(set(drawn)) == 2 and picture.shape[1] == 3 * 640 + 4 * 10
    with pytest.raises(ValueError, match=r'indices: expected numbers in 0\.\.3, got \[9\]'):
        draw_comparison(trained, tmp_path / 'grid.png', indices=[0, 9])
