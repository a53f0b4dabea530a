"""A SOLOv2 for two CPU cores and small targets: half-width ResNet-18, 64-channel FPN, lean heads.

Structure and losses are those of `solov2_r50_fpn.py`, on four levels instead of five; masks are learned at stride 2
instead of 4, where a 10-pixel target has more than six cells. The mask feature has 128 channels, as in SOLOv2-light.
The grid spans the image, whatever its size: a cell that is 8 pixels wide in a 320x256 crop is 16 wide in a 640x512
image.
"""

_base_ = './solov2_r50_fpn.py'

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
    mask_head=dict(
        type='FineSOLOV2Head',
        mask_upsample=2,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        scale_ranges=((1, 24), (16, 48), (32, 96), (64, 2048)),  # root of the box's area, in pixels
        num_grids=[40, 36, 24, 16],
        strides=[1, 1, 4, 8],  # smaller predicted masks are dropped; in cells of the masks, of 2x2 pixels
        mask_feature_head=dict(feat_channels=32, out_channels=128, norm_cfg=dict(num_groups=8)),
    ),
)
