"""Where every cell of the CPU-size study starts: the small baseline, trained on 3000 synthetic scenes.

It stands for the COCO-pretrained weights of the paper's recipe. The scenes are not those that cells train or test on
(another seed): `python tools/data/synthesize.py data/synthetic_pretrain --train 3000 --val 300 --seed 1`.
"""

_base_ = [
    '../../_base_/models/mask_rcnn_small.py',
    '../../_base_/datasets/synthetic.py',
    '../../_base_/schedules/small_12e.py',
    '../../_base_/small_runtime.py',
]

data_root = 'data/synthetic_pretrain/'
max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.002, by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
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
