"""The small full method for images of one channel, from synthetic scenes to real ones, for as long as `dev` improves.

Recordings differ in polarity, contrast and height, so these are varied (`real_varied.py`).
"""

_base_ = [
    '../_base_/models/mask_rcnn_small_bnsa_focalsiou_mbcedicels.py',
    '../_base_/datasets/real_varied.py',
    '../_base_/schedules/constant.py',
    '../_base_/small_ema_runtime.py',
]

load_from = 'results/starts/plain.pth'

max_iters = 6000
train_cfg = dict(max_iters=max_iters, val_interval=3000)

load = dict(type='LoadIRImageFromFile', channels=1)
train_pipeline = [load, *_base_.train_pipeline[1:]]
test_pipeline = [load, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(
    data_preprocessor=dict(mean=[114.495], std=[57.63], bgr_to_rgb=False),  # of ImageNet's channels, on average
    backbone=dict(type='GreyStemResNet'),
    neck=dict(plugin=dict(residual=True)),
)
