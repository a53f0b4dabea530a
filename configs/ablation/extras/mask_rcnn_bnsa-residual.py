"""BNSA with a residual connection: the FPN reads X_in + X_out, so that a pretrained path stays open."""

_base_ = '../../ir/mask_rcnn_bnsa.py'

model = dict(neck=dict(plugin=dict(residual=True)))
