"""The small full method for images of one channel, from synthetic scenes to real ones, for as long as `dev` improves.

Recordings differ in polarity, contrast and height, so these are varied. All classes are drawn equally often. A target
of ten pixels is two or three cells of the finest features, so that images are enlarged by half, and crops by 1 to 2.2.
"""

_base_ = [
    '../_base_/models/mask_rcnn_small_bnsa_focalsiou_mbcedicels.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/constant.py',
    '../_base_/small_runtime.py',
]

load_from = 'results/starts/plain.pth'

max_iters = 6000
train_cfg = dict(max_iters=max_iters, val_interval=3000)

load = dict(type='LoadIRImageFromFile', channels=1)
scales = (1.0, 1.25, 1.5, 1.8, 2.2)
train_pipeline = [
    load,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Resize', scale_factor=factor, keep_ratio=True)] for factor in scales],
    ),
    dict(type='RandomCrop', crop_size=_base_.image_size, allow_negative_crop=True),
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='RandomPolarity', prob=0.3),
    dict(type='RandomGainOffset', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(_delete_=True, type='ClassAwareSampler'),
    dataset=dict(pipeline=train_pipeline),
)
test_pipeline = [load, dict(type='Resize', scale_factor=1.5, keep_ratio=True), *_base_.test_pipeline[2:]]
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
model = dict(
    data_preprocessor=dict(mean=[114.495], std=[57.63], bgr_to_rgb=False),  # of ImageNet's channels, on average
    backbone=dict(type='GreyStemResNet'),
    neck=dict(plugin=dict(residual=True)),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=2, save_best=None))
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=0.002, update_buffers=True)]
