"""Small YOLACT on real images: HIT-UAV and drone clips."""

_base_ = [
    '../_base_/models/yolact_small.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/small_12e.py',
    '../_base_/small_runtime.py',
]

# A crop without a target would outweigh all others: MMDetection's loss takes all of its anchors, elsewhere the three
# hardest for each positive one. So another image is drawn, as the original's crops do.
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(_base_.train_pipeline[2], allow_negative_crop=False),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
