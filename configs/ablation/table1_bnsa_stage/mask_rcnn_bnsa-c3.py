"""Table 1: BNSA on C3 only."""

_base_ = '../../ir/mask_rcnn.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1,)))
