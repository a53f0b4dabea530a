"""`small_6e.py` with eight epochs, for pretraining; tested once, at the end."""

_base_ = './small_6e.py'

max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.002, by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
