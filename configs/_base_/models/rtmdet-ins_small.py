"""An RTMDet-Ins for two CPU cores and small targets: half-width ResNet-18 to stride 16, 48-channel neck and heads.

Neck, heads and losses are those of `rtmdet-ins_tiny.py`, on strides 4, 8 and 16 instead of 8, 16 and 32;
masks are compared at stride 2 instead of 4.
"""

_base_ = './rtmdet-ins_tiny.py'

channels = 48

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        base_channels=32,
        stem_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        norm_eval=False,
    ),
    neck=dict(in_channels=[32, 64, 128], out_channels=channels, norm_cfg=dict(type='BN')),
    bbox_head=dict(
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=1,
        mask_loss_stride=2,
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(strides=[4, 8, 16]),
    ),
)
