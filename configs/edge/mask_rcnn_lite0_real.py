"""The light full method on ImageNet's weights, trained on real images for as long as the part `dev` improves.

Recordings differ in polarity, contrast and height, so these are varied. All classes are drawn equally often.
"""

_base_ = [
    '../_base_/models/mask_rcnn_lite0.py',
    '../_base_/datasets/real_varied.py',
    '../_base_/schedules/constant.py',
    '../_base_/small_runtime.py',
]

load = dict(type='LoadIRImageFromFile', channels=1)
scales = (0.7, 0.85, 1.0, 1.2, 1.45)
resizes = [[dict(type='Resize', scale_factor=factor, keep_ratio=True)] for factor in scales]
changed = dict(RandomChoice=dict(transforms=resizes), RandomPolarity=dict(prob=0.5))
train_pipeline = [load, *[step | changed.get(step['type'], {}) for step in _base_.train_pipeline[1:]]]
test_pipeline = [load, dict(type='Resize', scale_factor=1.0, keep_ratio=True), *_base_.test_pipeline[2:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
# the first layers see edges in any image; the others follow slowly
model = dict(backbone=dict(imagenet=True, frozen_stages=2))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50, max_keep_ckpts=2, save_best=None))
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=0.005, update_buffers=True)]
