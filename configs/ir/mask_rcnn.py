"""The paper's baseline: Mask R-CNN R50-FPN, fine-tuned from COCO-pretrained weights."""

_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_mstrain-poly_3x_coco/'
    'mask_rcnn_r50_fpn_mstrain-poly_3x_coco_20210524_201154-21b550bb.pth'
)
