"""Baseline + BNSA on C3 and C4 (Fig. 6, Table 1)."""

_base_ = './mask_rcnn.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)))
