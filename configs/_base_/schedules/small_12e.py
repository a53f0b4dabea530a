"""`small_6e.py`, twice as long."""

_base_ = './small_6e.py'

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.002, by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
