"""The end of `mask_rcnn_lite0_real.py`: from the weights that the run has reached, the rate goes down to nothing.

The features at stride 4, which small targets need, learn now, too. Fewer crops have their polarity turned over: people
are warm in every recording, cars are not.
"""

_base_ = './mask_rcnn_lite0_real.py'

load_from = 'work_dirs/mask_rcnn_lite0_real/iter_1800.pth'

max_iters = 1400
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=30, end=max_iters),
]
model = dict(
    backbone=dict(imagenet=False, frozen_stages=1),
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3))),  # boxes within boxes of the same target are left out
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            *_base_.train_pipeline[:5],
            dict(type='RandomPolarity', prob=0.2),
            *_base_.train_pipeline[6:],
        ]
    )
)
