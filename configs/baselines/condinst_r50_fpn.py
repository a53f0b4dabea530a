"""CondInst, fine-tuned from MMDetection's COCO weights with the data and schedule of `configs/ir/mask_rcnn.py`."""

_base_ = [
    '../_base_/models/condinst_r50_fpn.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/condinst/condinst_r50_fpn_ms-poly-90k_coco_instance/'
    'condinst_r50_fpn_ms-poly-90k_coco_instance_20221129_125223-4c186406.pth'
)
