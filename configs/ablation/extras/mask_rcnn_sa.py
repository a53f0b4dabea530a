"""Squeeze-and-attention without the bottleneck in the place of BNSA."""

_base_ = '../../ir/mask_rcnn.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='SqueezeAttention'), plugin_stages=(1, 2)))
