"""A test set of a few small images and a Mask R-CNN with random weights that detects something in them."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

REPO = Path(__file__).parents[2]
HEIGHT, WIDTH = 60, 88  # the pipeline enlarges to 96x64
CLASSES = ('human', 'car', 'bicycle', 'uav')
CONFIG = """
_base_ = '{repo}/configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic16.py'
test_pipeline = [
    _base_.load, _base_.tone_mapping, dict(type='Resize', scale=(96, 64), keep_ratio=True),
    *_base_.test_pipeline[3:]]
test_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root='{root}/', image_key='file_name', ann_file='val.json', pipeline=test_pipeline))
test_evaluator = dict(ann_file='{root}/val.json')
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(in_channels=16, conv_out_channels=16, num_convs=1)),
    test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20), rcnn=dict(score_thr=0.9, max_per_img=6)))
"""


def counts(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """14-bit noise with hot rectangles."""
    rng = np.random.default_rng(seed)
    image = rng.normal(7000, 40, (height, width))
    for _ in range(4):
        x, y = rng.integers(0, width - 20), rng.integers(0, height - 16)
        image[y : y + rng.integers(6, 16), x : x + rng.integers(6, 20)] += rng.integers(300, 1500)
    return image.round().astype(np.uint16)


def write_problem(root: Path) -> None:
    """Writes ``config.py``, ``weights.pth``, ``val.json`` and ``images/0.png`` to ``2.png`` into a folder."""
    (root / 'images').mkdir()
    images, objects = [], []
    for i in range(3):
        cv2.imwrite(str(root / 'images' / f'{i}.png'), counts(i))
        images.append({'id': i + 1, 'file_name': f'{i}.png', 'width': WIDTH, 'height': HEIGHT})
        x = 10 + 8 * i
        objects.append(
            {
                'id': i + 1,
                'image_id': i + 1,
                'category_id': 2,
                'bbox': [x, 20, 20, 12],
                'area': 240,
                'iscrowd': 0,
                'segmentation': [[x, 20, x + 20, 20, x + 20, 32, x, 32]],
            }
        )
    categories = [{'id': i, 'name': name} for i, name in enumerate(CLASSES, start=1)]
    (root / 'val.json').write_text(json.dumps({'images': images, 'annotations': objects, 'categories': categories}))
    (root / 'config.py').write_text(CONFIG.format(repo=REPO, root=root))
    write_weights(root / 'config.py', root / 'weights.pth')


def write_weights(config: Path, out: Path) -> None:
    """Writes a checkpoint with random weights."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    spread_scores(model)
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': CLASSES}}}, out)


def spread_scores(model: torch.nn.Module) -> None:
    """Larger weights for the last layers: without training all scores are next to equal, and their order is chance."""
    with torch.no_grad():
        for layer, spread in (
            (model.rpn_head.rpn_cls, 2.0),
            (model.rpn_head.rpn_reg, 0.1),
            (model.roi_head.bbox_head.fc_cls, 2.0),
            (model.roi_head.bbox_head.fc_reg, 0.3),
            (model.roi_head.mask_head.conv_logits, 0.5),
        ):
            layer.weight.normal_(std=spread)
