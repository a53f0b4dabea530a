"""`pretrain.py` with BNSA on C3 and C4 from the start: does it matter that BNSA is there in pretraining?"""

_base_ = './pretrain.py'

model = dict(neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)))
