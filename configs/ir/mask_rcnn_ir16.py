"""Mask R-CNN on 14- or 16-bit recordings, tone-mapped by percentiles; else as `mask_rcnn.py`."""

_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn.py',
    '../_base_/datasets/ir16_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_mstrain-poly_3x_coco/'
    'mask_rcnn_r50_fpn_mstrain-poly_3x_coco_20210524_201154-21b550bb.pth'
)
