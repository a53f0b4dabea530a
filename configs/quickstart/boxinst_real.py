"""Small BoxInst on real images: HIT-UAV and drone clips."""

_base_ = [
    '../_base_/models/boxinst_small.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/small_12e.py',
    '../_base_/small_runtime.py',
]

train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),  # no mask is read
    dict(type='RandomCrop', crop_size=_base_.image_size, allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
