"""The end of `mask_rcnn_small_real_long.py`: the rate goes down to nothing."""

_base_ = './mask_rcnn_small_real_long.py'

load_from = 'work_dirs/mask_rcnn_small_real_long/iter_6000.pth'

max_iters = 2500
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=30, end=max_iters),
]
custom_hooks = [*_base_.custom_hooks[:-1], dict(type='EMAHook', momentum=0.01, update_buffers=True)]
