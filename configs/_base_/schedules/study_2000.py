"""Fine-tuning of one cell of the study that `protocol.yaml` fixes: 2,000 steps, otherwise as `study.py`."""

_base_ = './study.py'

max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.002, by_epoch=False, T_max=max_iters),
]
