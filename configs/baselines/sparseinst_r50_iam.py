"""SparseInst with plain instance activation maps, the structure that has the paper's parameter count."""

_base_ = './sparseinst_r50_giam.py'

model = dict(mask_head=dict(groups=1))
