"""SparseInst + BNSA on C3 and C4, before the encoder."""

_base_ = './sparseinst_r50_giam.py'

model = dict(neck=dict(plugin=dict(type='BNSA', reduction=4), plugin_stages=(0, 1)))
