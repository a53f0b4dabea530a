"""A toy instance segmentation problem that trains in seconds: bright rectangles on a dark ground."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

REPO = Path(__file__).parents[2]
CONFIG = """
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'
default_scope = 'mmdet'
custom_imports = dict(imports=['mmdet_ir'])
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=64, num_classes=4),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(in_channels=32, conv_out_channels=32, num_convs=1, num_classes=4)),
    test_cfg=dict(rcnn=dict(max_per_img=5)))
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
meta = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
pipeline = [*load, dict(type='Resize', scale=(96, 64)), dict(type='PackDetInputs', meta_keys=meta)]
data = dict(type='IRDataset', data_root='ROOT', data_prefix=dict(img='images/'), pipeline=pipeline)
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='annotations/train.json', **data))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='annotations/val.json', test_mode=True, **data))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file='ROOT/annotations/val.json', metric=['bbox', 'segm'])
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
param_scheduler = [dict(type='MultiStepLR', milestones=[100], by_epoch=True)]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1), visualization=dict(type='DetVisualizationHook'),
    checkpoint=dict(type='CheckpointHook', interval=1))
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(type='LogProcessor', window_size=1, by_epoch=True)
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=4)
"""
INFER_CONFIG = """
_base_ = '{base}'
pipeline = [
    dict(type='LoadIRImageFromFile', channels=1, raw=True), dict(type='ToneMapping', method='percentile'),
    dict(type='Resize', scale=(96, 64)), dict(type='PackDetInputs', meta_keys=_base_.meta)]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
model = dict(test_cfg=dict(rpn=dict(nms_pre=30, max_per_img=20), rcnn=dict(score_thr=0.0, max_per_img=4)))
"""


def _write_split(root: Path, split: str, count: int, rng: np.random.Generator) -> None:
    images, annotations = [], []
    for index in range(count):
        picture = rng.integers(20, 60, (64, 96, 3), dtype=np.uint8)
        for label in range(2):
            width, height = rng.integers(16, 32, 2).tolist()
            x, y = (48 * label + int(rng.integers(0, 48 - width))), int(rng.integers(0, 64 - height))
            picture[y : y + height, x : x + width] = 180 + 30 * label
            polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': index,
                    'category_id': label + 1,
                    'bbox': [x, y, width, height],
                    'segmentation': [polygon],
                    'area': width * height,
                    'iscrowd': 0,
                }
            )
        name = f'{split}_{index}.png'
        cv2.imwrite(str(root / 'images' / name), picture)
        images.append({'id': index, 'file_name': name, 'width': 96, 'height': 64})
    categories = [{'id': i + 1, 'name': name} for i, name in enumerate(('human', 'car', 'bicycle', 'uav'))]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (root / 'annotations' / f'{split}.json').write_text(json.dumps(content))


@pytest.fixture(scope='session')
def toy_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config of a small Mask R-CNN on 8 training and 4 test images of 96x64 pixels."""
    root = tmp_path_factory.mktemp('toy')
    for folder in ('images', 'annotations'):
        (root / folder).mkdir()
    rng = np.random.default_rng(0)
    _write_split(root, 'train', 8, rng)
    _write_split(root, 'val', 4, rng)
    config = root / 'toy.py'
    config.write_text(CONFIG.replace('ROOT', str(root)))
    return config


@pytest.fixture(scope='session')
def model(toy_config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Config and checkpoint of a small Mask R-CNN with random weights: it always finds four instances."""
    folder = tmp_path_factory.mktemp('model')
    (folder / 'config.py').write_text(INFER_CONFIG.format(base=toy_config))
    init_default_scope('mmdet')
    torch.manual_seed(1)
    network = MODELS.build(Config.fromfile(folder / 'config.py').model)
    meta = {'dataset_meta': {'classes': ('human', 'car', 'bicycle', 'uav')}}
    torch.save({'state_dict': network.state_dict(), 'meta': meta}, folder / 'weights.pth')
    return folder / 'config.py', folder / 'weights.pth'


@pytest.fixture(scope='session')
def run_command() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a command of the repository without a GPU and returns what it did."""

    def run(*command: object, expect: int = 0, **environment: str) -> subprocess.CompletedProcess:
        env = {**os.environ, 'CUDA_VISIBLE_DEVICES': '-1', 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable}
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, cwd=REPO, env={**env, **environment}
        )
        assert done.returncode == expect, f'exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
        return done

    return run


@pytest.fixture(scope='session')
def python_tool(run_command: Callable) -> Callable[..., subprocess.CompletedProcess]:
    def run(name: str, *arguments: object, **options: object) -> subprocess.CompletedProcess:
        return run_command(sys.executable, REPO / 'tools' / name, *arguments, **options)

    return run


def scalars(work_dir: Path) -> list[dict]:
    """Everything that the runs in a work dir logged, in order."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture(scope='session')
def read_scalars() -> Callable[[Path], list[dict]]:
    return scalars


@pytest.fixture(scope='session')
def trained(toy_config: Path, python_tool: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work dir of one epoch (4 iterations), trained through the command line."""
    work_dir = tmp_path_factory.mktemp('trained')
    python_tool('train.py', toy_config, '--work-dir', work_dir, '--seed', 3)
    return work_dir
