"""Table 2: Focal-EIoU; its weight by the rule in docs/method/method.md."""

_base_ = '../../ir/mask_rcnn.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type='FocalEIoULoss', gamma=0.5, loss_weight=8.5))
    )
)
