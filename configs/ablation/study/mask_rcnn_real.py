"""Stands in for `configs/ir/mask_rcnn.py` in the study on the second edition of the real set (`protocol.yaml`)."""

_base_ = [
    '../../_base_/models/mask_rcnn_small.py',
    '../../_base_/datasets/real.py',
    '../../_base_/schedules/study_2000.py',
    '../../_base_/study_runtime.py',
]

load_from = 'results/starts/plain.pth'

train_dataloader = dict(batch_size=4, num_workers=1)
val_dataloader = dict(num_workers=1)
test_dataloader = val_dataloader
