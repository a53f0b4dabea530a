"""`ir_instance.py` for recordings of 14 or 16 bits: counts in PNG, TIFF or .npy, tone-mapped in every pipeline.

8-bit files among them are stretched likewise. Lay the data in `data/ir16/`, or set `data_root` as in `ir_instance.py`.
"""

_base_ = './ir_instance.py'

data_root = 'data/ir16/'
load = dict(type='LoadIRImageFromFile', channels=1, raw=True)
tone_mapping = dict(
    type='ToneMapping', method='percentile', low=0.5, high=99.7
)  # others: docs/guide/infrared_input.md

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
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
