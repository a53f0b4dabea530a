"""A CondInst for two CPU cores and small targets: half-width ResNet-18, 64-channel FPN from stride 4, lean heads.

Structure and losses are those of `condinst_r50_fpn.py`; masks are learned at stride 2 instead of 4.
"""

_base_ = './condinst_r50_fpn.py'

channels = 64

model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        # trained from scratch: every stage learns, with its own BatchNorm statistics
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=channels, start_level=0, num_outs=4),
    bbox_head=dict(
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=1,
        strides=[4, 8, 16, 32],
        regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 1e8)),
    ),
    mask_head=dict(
        mask_out_stride=2,
        mask_feature_head=dict(in_channels=channels, feat_channels=32, mask_stride=4, num_stacked_convs=2),
    ),
)
