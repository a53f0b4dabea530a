"""Small BoxInst on synthetic scenes, from their boxes alone; their exact masks serve for the evaluation."""

_base_ = [
    '../_base_/models/boxinst_small.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/schedules/small_6e.py',
    '../_base_/small_runtime.py',
]

train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),  # no mask is read
    dict(type='Resize', scale=_base_.image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
