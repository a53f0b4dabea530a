"""The light full method on EfficientNet-Lite0; the neck and the heads are those of `mask_rcnn_edge.py`.

`backbone.imagenet=True` starts from ImageNet's weights, which a package holds; see `EfficientNetLite`.
"""

_base_ = './mask_rcnn_edge.py'

model = dict(
    data_preprocessor=dict(mean=[127.0], std=[128.0]),  # what ImageNet's weights expect
    backbone=dict(_delete_=True, type='EfficientNetLite', in_channels=1),
    neck=dict(in_channels=[24, 40, 112, 320]),
)
