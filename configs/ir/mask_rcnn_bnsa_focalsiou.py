"""BNSA + Focal-SIoU."""

_base_ = './mask_rcnn_focalsiou.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)))
