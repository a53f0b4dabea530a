"""YOLACT + Focal-SIoU box loss, on decoded boxes."""

_base_ = './yolact_r50.py'

model = dict(
    bbox_head=dict(
        reg_decoded_bbox=True,
        # 15: as strong a gradient as that of SmoothL1 with YOLACT's weight of 1.5 (docs/method/method.md)
        loss_bbox=dict(_delete_=True, type='FocalSIoULoss', gamma=0.5, loss_weight=15.0),
    )
)
