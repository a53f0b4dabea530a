"""The small full method, from the weights of `make demo` to real images in 300 steps; recordings are varied.

Recordings differ in polarity, contrast and height, so these are varied. All classes are drawn equally often.
"""

_base_ = [
    '../_base_/models/mask_rcnn_small_bnsa_focalsiou_mbcedicels.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/study.py',
    '../_base_/small_runtime.py',
]

load_from = 'work_dirs/demo/epoch_6.pth'

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.002, by_epoch=False, T_max=max_iters),
]

scales = (0.8, 1.0, 1.25)
train_pipeline = [
    dict(type='LoadIRImageFromFile'),
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
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50, max_keep_ckpts=2, save_best=None))
