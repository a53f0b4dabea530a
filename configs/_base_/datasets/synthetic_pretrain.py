"""Synthetic scenes to pretrain on, with another seed than `data/synthetic`.

`python tools/data/synthesize.py data/synthetic_pretrain --train 3000 --val 300 --seed 1`
"""

_base_ = './synthetic.py'

data_root = 'data/synthetic_pretrain/'
# polarity inversion stands for scenes by day and by night
train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=_base_.image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Invert', prob=0.3),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/val.json')
