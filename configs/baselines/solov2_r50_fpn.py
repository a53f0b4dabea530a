"""SOLOv2, fine-tuned from MMDetection's COCO weights with the data and schedule of `configs/ir/mask_rcnn.py`."""

_base_ = [
    '../_base_/models/solov2_r50_fpn.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/solov2/solov2_r50_fpn_3x_coco/'
    'solov2_r50_fpn_3x_coco_20220512_125856-fed092d4.pth'
)

val_evaluator = dict(metric='segm')  # SOLOv2 predicts no boxes
test_evaluator = val_evaluator
