"""Stands in for `configs/ir/mask_rcnn.py` in the study on the second edition of the real set (`protocol.yaml`)."""

_base_ = '../cpu/mask_rcnn_real.py'

load_from = 'results/starts/plain.pth'

max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.002, by_epoch=False, T_max=max_iters),
]
default_hooks = dict(checkpoint=dict(interval=500))
