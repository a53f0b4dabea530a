"""Stands in for `configs/ir/mask_rcnn.py` in the CPU-size study, on real images (see `tools/reproduce.py`)."""

_base_ = [
    '../../_base_/models/mask_rcnn_small.py',
    '../../_base_/datasets/real.py',
    '../../_base_/schedules/study.py',
    '../../_base_/study_runtime.py',
]

load_from = 'work_dirs/reproduce/cpu/pretrain/epoch_8.pth'

train_dataloader = dict(batch_size=4, num_workers=1)
val_dataloader = dict(num_workers=1)
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(interval=100))
