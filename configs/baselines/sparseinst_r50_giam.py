"""SparseInst R50 with group IAM: data, metric and epochs of `configs/ir/mask_rcnn.py`."""

_base_ = [
    '../_base_/models/sparseinst_r50_giam.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

# The original's optimizer (there at 64 images a step): the paper's SGD would not train it.
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=5e-5, weight_decay=0.05))
