"""Baseline + Focal-SIoU box loss in the RoI head (Eq. 7-12, Table 2)."""

_base_ = './mask_rcnn.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type='FocalSIoULoss', gamma=0.5, loss_weight=10.0))
    )
)
