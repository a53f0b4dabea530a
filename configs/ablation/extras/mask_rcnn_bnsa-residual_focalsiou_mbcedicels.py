"""The full method, BNSA with a residual connection."""

_base_ = '../../ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py'

model = dict(neck=dict(plugin=dict(residual=True)))
