"""The small full method on the 14-bit counts of the synthetic scenes."""

_base_ = [
    '../_base_/models/mask_rcnn_small_bnsa_focalsiou_mbcedicels.py',
    '../_base_/datasets/synthetic16.py',
    '../_base_/schedules/small_6e.py',
    '../_base_/small_runtime.py',
]
