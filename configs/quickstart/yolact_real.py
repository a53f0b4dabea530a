"""Small YOLACT on real images: HIT-UAV and drone clips."""

_base_ = [
    '../_base_/models/yolact_small.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/small_12e.py',
    '../_base_/small_runtime.py',
]

# A crop without a target would outweigh all others: MMDetection's loss takes all of its anchors, elsewhere the three
# hardest for each positive one. So another image is drawn, as the original's crops do.
train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomCrop', crop_size=_base_.image_size, allow_negative_crop=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
