"""Small Mask R-CNN from random weights, on the images and by the recipe of `edge`, whose score it is compared with."""

_base_ = [
    '../_base_/models/mask_rcnn_small.py',
    '../_base_/datasets/real_varied.py',
    '../_base_/schedules/constant.py',
    '../_base_/small_ema_runtime.py',
]
