"""Stands in for `configs/ir/mask_rcnn.py` in the study on synthetic scenes (`protocol.yaml`)."""

_base_ = [
    '../../_base_/models/mask_rcnn_small.py',
    '../../_base_/datasets/synthetic.py',
    '../../_base_/schedules/study_2000.py',
    '../../_base_/small_runtime.py',
]

load_from = 'results/starts/plain.pth'

train_dataloader = dict(batch_size=4, num_workers=1)
val_dataloader = dict(num_workers=1)
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=1, save_best=None))
