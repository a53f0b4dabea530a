"""`mask_rcnn_small_real.py` for images of one channel, with the same weights: the stem is folded when it loads them.

Colour pictures are refused. Test it with the checkpoint of the other config.
"""

_base_ = './mask_rcnn_small_real.py'

load = dict(type='LoadIRImageFromFile', channels=1)

model = dict(
    data_preprocessor=dict(mean=[114.495], std=[57.63], bgr_to_rgb=False),  # of ImageNet's channels, on average
    backbone=dict(type='GreyStemResNet'),
)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_pipeline[1:]]))
val_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
test_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
