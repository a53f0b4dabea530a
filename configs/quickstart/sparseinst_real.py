"""Small SparseInst on real images: HIT-UAV and drone clips."""

_base_ = [
    '../_base_/models/sparseinst_small.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/small_12e.py',
    '../_base_/small_runtime.py',
]
