"""The 14-bit counts of the synthetic scenes, tone-mapped as their 8-bit rendering is (`synthetic.py`)."""

_base_ = './synthetic.py'

load = dict(type='LoadIRImageFromFile', channels=1, raw=True)
tone_mapping = dict(type='ToneMapping', method='percentile', low=0.5, high=99.7)

train_pipeline = [
    load,
    tone_mapping,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=_base_.image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    load,
    tone_mapping,
    dict(type='Resize', scale=_base_.image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'page', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(image_key='counts_file', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(image_key='counts_file', pipeline=test_pipeline))
test_dataloader = val_dataloader
