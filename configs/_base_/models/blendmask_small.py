"""A BlendMask for two CPU cores and small targets: half-width ResNet-18, 64-channel FPN from stride 4, lean heads.

Structure and losses are those of `blendmask_r50_fpn.py`; only widths, strides and sizes shrink.
"""

_base_ = './blendmask_r50_fpn.py'

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
        feat_channels=channels // 2,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        strides=[4, 8, 16, 32],
        regress_ranges=((-1, 16), (16, 32), (32, 64), (64, 1e8)),
        attention_size=7,
    ),
    mask_head=dict(
        basis_module=dict(in_channels=channels, channels=32, num_convs=1),
        resolution=28,
        basis_stride=2,
    ),
)
