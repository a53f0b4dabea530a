"""SOLOv2 + BNSA on C3 and C4."""

_base_ = './solov2_r50_fpn.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)))
