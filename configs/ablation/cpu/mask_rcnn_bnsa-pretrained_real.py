"""Baseline + BNSA, fine-tuned on real images from weights that were pretrained with BNSA (`pretrain_bnsa.py`)."""

_base_ = './mask_rcnn_real.py'

load_from = 'work_dirs/bnsa_pretrained/pretrain/epoch_8.pth'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)))
