"""The full method for a small board: one input channel, a leaner neck and leaner heads, half the proposals.

What is kept is what small targets need: ResNet-18 at half width with features from stride 4, and the three parts of
the method. BNSA has a residual connection, so that it can be added to a network that is trained already.
"""

_base_ = './mask_rcnn_small_bnsa_focalsiou_mbcedicels.py'

channels = 48

model = dict(
    data_preprocessor=dict(mean=[114.495], std=[57.63], bgr_to_rgb=False),  # of ImageNet's channels, on average
    backbone=dict(in_channels=1, stem_channels=16),
    neck=dict(out_channels=channels, plugin=dict(residual=True)),
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=128),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(num_convs=1, in_channels=channels, conv_out_channels=channels),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
)
