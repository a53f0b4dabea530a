"""A non-local block (mmcv) in the place of BNSA."""

_base_ = '../../ir/mask_rcnn.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='NonLocal2d', reduction=4), plugin_stages=(1, 2)))
