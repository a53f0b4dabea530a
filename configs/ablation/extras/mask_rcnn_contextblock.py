"""GCNet's context block (mmcv) in the place of BNSA: squeeze-and-excitation with attention pooling."""

_base_ = '../../ir/mask_rcnn.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='ContextBlock', ratio=0.25), plugin_stages=(1, 2)))
