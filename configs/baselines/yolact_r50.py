"""YOLACT, fine-tuned from MMDetection's COCO weights with the data and schedule of `configs/ir/mask_rcnn.py`."""

_base_ = [
    '../_base_/models/yolact_r50.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/yolact/yolact_r50_8x8_coco/'
    'yolact_r50_8x8_coco_20200908-ca34f5db.pth'
)
