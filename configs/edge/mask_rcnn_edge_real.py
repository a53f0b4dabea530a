"""The light full method, fine-tuned for 400 steps on real images, by the recipe of the CPU-size study."""

_base_ = [
    '../_base_/models/mask_rcnn_edge.py',
    '../_base_/datasets/real.py',
    '../_base_/schedules/study.py',
    '../_base_/small_runtime.py',
]

load_from = 'work_dirs/edge/pretrain/epoch_8.pth'

load = dict(type='LoadIRImageFromFile', channels=1)
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=[load, *_base_.train_pipeline[1:]]))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=1, save_best=None))
