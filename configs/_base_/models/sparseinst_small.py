"""A SparseInst for two CPU cores and small targets: half-width ResNet-18, encoder from stride 4, lean branches.

The structure and every loss are those of `sparseinst_r50_giam.py`. Its encoder ends at stride 8, where targets of 6 to
60 pixels share cells; here it ends at stride 4, and masks have stride 2.
"""

_base_ = './sparseinst_r50_giam.py'

channels = 64

model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        out_indices=(0, 1, 2, 3),
        # trained from scratch: every stage learns, with its own BatchNorm statistics
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=channels),
    mask_head=dict(
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        num_masks=50,
        kernel_channels=32,
    ),
)
