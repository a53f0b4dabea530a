"""A Mask R-CNN for two CPU cores and small targets: half-width ResNet-18, 64-channel FPN, lean heads.

The structure and every loss are those of `mask_rcnn_r50_fpn.py`; only widths, RoI counts and anchor sizes shrink.
"""

_base_ = './mask_rcnn_r50_fpn.py'

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
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=channels, num_outs=4),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[3, 5], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, finest_scale=28),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, reg_class_agnostic=True),
        mask_roi_extractor=dict(out_channels=channels, finest_scale=28),
        mask_head=dict(num_convs=2, in_channels=channels, conv_out_channels=channels),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(sampler=dict(num=64, pos_fraction=0.25)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=400, max_per_img=200),
    ),
)
