"""Small Mask R-CNN on synthetic scenes."""

_base_ = [
    '../_base_/models/mask_rcnn_small.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/schedules/small_6e.py',
    '../_base_/small_runtime.py',
]
