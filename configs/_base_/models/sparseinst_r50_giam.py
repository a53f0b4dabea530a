"""SparseInst R50 with group instance activation maps for the four infrared classes; values of the original."""

model = dict(
    type='SparseInst',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=dict(type='InstanceContextEncoder', in_channels=[512, 1024, 2048], out_channels=256),
    mask_head=dict(
        type='SparseInstHead',
        num_classes=4,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        num_masks=100,
        kernel_channels=128,
        groups=4,
        scale_factor=2,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_obj=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=5.0),
        # eps stands twice in the divisor: 1e-4, as in the matching score
        loss_dice=dict(type='DiceLoss', eps=5e-5, loss_weight=2.0),
    ),
    train_cfg=dict(assigner=dict(type='SparseInstMatcher', alpha=0.8, beta=0.2)),
    test_cfg=dict(score_thr=0.005, mask_thr=0.45),
)
