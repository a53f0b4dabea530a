"""The light full method on ImageNet's weights, trained on real images for as long as the part `dev` improves.

Recordings differ in polarity, contrast and height, so these are varied. All classes are drawn equally often.
"""

_base_ = [
    '../_base_/models/mask_rcnn_lite0.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/constant.py',
    '../_base_/small_runtime.py',
]

load = dict(type='LoadIRImageFromFile', channels=1)
scales = (0.7, 0.85, 1.0, 1.2, 1.45)
train_pipeline = [
    load,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Resize', scale_factor=factor, keep_ratio=True)] for factor in scales],
    ),
    dict(type='RandomCrop', crop_size=_base_.image_size, allow_negative_crop=True),
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='RandomPolarity', prob=0.5),
    dict(type='RandomGainOffset', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(_delete_=True, type='ClassAwareSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
# the first layers see edges in any image; the others follow slowly
model = dict(backbone=dict(imagenet=True, frozen_stages=2))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50, max_keep_ckpts=2, save_best=None))
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=0.005, update_buffers=True)]
