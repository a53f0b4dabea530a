"""The real set with its part `dev`, in training as varied as recordings are: scale, polarity, contrast, rare classes.

A target of ten pixels is two or three cells of the finest features, so that images are enlarged by half, and crops by
1 to 2.2. All classes are drawn equally often.
"""

_base_ = './real_dev.py'

scales = (1.0, 1.25, 1.5, 1.8, 2.2)
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
test_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='Resize', scale_factor=1.5, keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(_delete_=True, type='ClassAwareSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
