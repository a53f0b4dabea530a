"""Table 2: SIoU; its weight by the rule in docs/method/method.md."""

_base_ = '../../ir/mask_rcnn.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type='FocalSIoULoss', gamma=0, loss_weight=8.0))
    )
)
