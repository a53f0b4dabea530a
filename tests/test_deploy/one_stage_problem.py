"""Configs of small one-stage detectors with random weights that detect something in the images of the tiny problem."""

from pathlib import Path

import mmdet_ir  # noqa: F401  (first, as everywhere)

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_problem import CLASSES, REPO, counts
from torch import nn

CONFIG = """
_base_ = [
    '{repo}/configs/_base_/models/{name}_small.py', '{repo}/configs/_base_/datasets/synthetic16.py',
    '{repo}/configs/_base_/schedules/small_12e.py', '{repo}/configs/_base_/small_runtime.py']
test_pipeline = [
    _base_.load, _base_.tone_mapping, {resize}, *_base_.test_pipeline[3:]]
test_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root='{root}/', image_key='file_name', ann_file='val.json', pipeline=test_pipeline))
test_evaluator = dict(ann_file='{root}/val.json', metric=['segm'])
model = dict({model})
"""
SETTINGS = {
    'rtmdet-ins': 'test_cfg=dict(score_thr=0.3, max_per_img=8)',
    'condinst': 'test_cfg=dict(score_thr=0.3, max_per_img=8)',
    'blendmask': 'test_cfg=dict(score_thr=0.3, max_per_img=8)',
    'solov2': 'test_cfg=dict(score_thr=0.7, max_per_img=8)',
    'sparseinst': 'test_cfg=dict(score_thr=0.6)',
}
RESIZED = "dict(type='Resize', scale=(96, 64), keep_ratio=True)"
AS_STORED = "dict(type='Resize', scale_factor=1.0)"


def write_one_stage(root: Path, name: str, resize: str = RESIZED) -> tuple[Path, Path]:
    """Writes config and weights of a detector beside the tiny problem, and returns both."""
    config, weights = root / f'{name}.py', root / f'{name}.pth'
    config.write_text(CONFIG.format(repo=REPO, root=root, name=name, model=SETTINGS[name], resize=resize))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    _spread(model)
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': CLASSES}}}, weights)
    return config, weights


def _spread(model: nn.Module) -> None:
    """Norms that fit the images, and larger weights for the last layers: untrained scores and masks are even."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean of all that it sees
        norm.train()
    images = torch.stack([torch.from_numpy(counts(i, 64, 96).astype('float32')) for i in range(4)])[:, None]
    head, masks = getattr(model, 'bbox_head', None), getattr(model, 'mask_head', None)
    last = {
        0.3: [getattr(head, 'conv_cls', None), *getattr(head, 'rtm_cls', ()), getattr(masks, 'conv_cls', None)],
        0.1: [getattr(head, 'conv_reg', None), *getattr(head, 'rtm_reg', ()), getattr(head, 'top_layer', None)],
        0.2: [
            getattr(head, 'controller', None),
            *getattr(head, 'rtm_kernel', ()),
            getattr(masks, 'conv_kernel', None),
        ],
    }
    branch, basis = getattr(masks, 'instance_branch', None), getattr(masks, 'basis_module', None)
    if branch is not None:
        last[0.02] = [branch.objectness, branch.activation]
        last |= {0.05: [branch.cls_score, branch.mask_kernel]}
        nn.init.zeros_(branch.cls_score.bias)
    if basis is not None:
        last[2.0] = [basis.tower[-1]]
    with torch.no_grad():
        for spread, layers in last.items():
            for layer in layers:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.weight.normal_(std=spread)
        model.eval()
        for norm in norms:
            norm.train()
        features = model.extract_feat(((images - 7000) / 300).expand(-1, 3, -1, -1))
        for part in (head, masks):
            if part is not None and part.__class__.__name__ != 'CondInstMaskHead':
                part(features)
        model.eval()
