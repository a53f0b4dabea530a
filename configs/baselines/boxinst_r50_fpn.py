"""BoxInst, which learns masks from boxes, with the data and schedule of `configs/ir/mask_rcnn.py`."""

_base_ = [
    '../_base_/models/boxinst_r50_fpn.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/boxinst/boxinst_r50_fpn_ms-90k_coco/'
    'boxinst_r50_fpn_ms-90k_coco_20221228_163052-6add751a.pth'
)

train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),  # no mask is read
    dict(type='Resize', scale=_base_.image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
