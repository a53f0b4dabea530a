"""Table 2: SIoU; its weight by the rule of docs/method.md, "Weight of the box loss"."""

_base_ = '../../ir/mask_rcnn.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type='FocalSIoULoss', gamma=0, loss_weight=8.0))
    )
)
