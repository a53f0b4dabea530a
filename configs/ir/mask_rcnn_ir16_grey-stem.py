"""`mask_rcnn_ir16.py` with one input channel; the stem of the pretrained weights is folded on loading."""

_base_ = './mask_rcnn_ir16.py'

grey_mean, grey_std = 114.495, 57.63  # of ImageNet's three channels, on average

tone_mapping = dict(type='ToneMapping', method='percentile', low=0.5, high=99.7, channels=1)
train_pipeline = [_base_.load, tone_mapping, *_base_.train_pipeline[2:]]
test_pipeline = [_base_.load, tone_mapping, *_base_.test_pipeline[2:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(
    data_preprocessor=dict(mean=[grey_mean], std=[grey_std], bgr_to_rgb=False),
    backbone=dict(type='GreyStemResNet', grey_mean=grey_mean, grey_std=grey_std),
)
