"""A YOLACT for two CPU cores and small targets: half-width ResNet-18, 64-channel FPN from stride 4, lean heads.

Structure and losses are those of `yolact_r50.py`.
"""

_base_ = './yolact_r50.py'

channels = 64

model = dict(
    backbone=dict(depth=18, base_channels=32, stem_channels=32, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=channels, start_level=0, num_outs=4),
    bbox_head=dict(
        in_channels=channels,
        feat_channels=channels,
        num_protos=16,
        anchor_generator=dict(
            base_sizes=[4, 8, 16, 32], strides=[4, 8, 16, 32], centers=[(2, 2), (4, 4), (8, 8), (16, 16)]
        ),
    ),
    mask_head=dict(in_channels=channels, num_protos=16, proto_channels=(64, 64, 64, None, 16, 16)),
)
