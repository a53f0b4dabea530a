"""The small full method on real images: HIT-UAV and drone clips."""

_base_ = [
    '../_base_/models/mask_rcnn_small_bnsa_focalsiou_mbcedicels.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/small_12e.py',
    '../_base_/small_runtime.py',
]
