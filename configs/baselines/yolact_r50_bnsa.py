"""YOLACT + BNSA on C3 and C4."""

_base_ = './yolact_r50.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)))
