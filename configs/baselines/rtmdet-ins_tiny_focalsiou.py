"""RTMDet-Ins + Focal-SIoU box loss."""

_base_ = './rtmdet-ins_tiny.py'

model = dict(
    # 2.7: as strong a gradient as that of GIoU with RTMDet's weight of 2 (docs/method/rivals.md)
    bbox_head=dict(loss_bbox=dict(_delete_=True, type='FocalSIoULoss', gamma=0.5, loss_weight=2.7))
)
