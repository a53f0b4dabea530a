"""MMDetection's Mask R-CNN R50-FPN for the four infrared classes."""

_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=4,
            loss_bbox=dict(type='SmoothL1Loss'),  # the paper's baseline (Table 2); MMDetection's config has L1
        ),
        mask_head=dict(num_classes=4),
    )
)
