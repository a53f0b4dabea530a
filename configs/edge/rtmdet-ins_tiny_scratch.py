"""RTMDet-Ins-tiny from random weights, on the images and by the recipe of `edge`, whose score it is compared with."""

_base_ = [
    '../_base_/models/rtmdet-ins_tiny.py',
    '../_base_/datasets/real_varied.py',
    '../_base_/schedules/constant.py',
    '../_base_/small_runtime.py',
]

model = dict(backbone=dict(init_cfg=None))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=2, save_best=None))
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=0.002, update_buffers=True)]
