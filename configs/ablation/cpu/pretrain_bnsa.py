"""`pretrain.py` with BNSA on C3 and C4 from the start, for the question whether its place in the pretraining matters."""

_base_ = './pretrain.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)))
