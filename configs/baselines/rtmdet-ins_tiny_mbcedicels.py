"""RTMDet-Ins + MBCE-Dice-Lovasz mask loss, with the weight of its Dice loss."""

_base_ = './rtmdet-ins_tiny.py'

model = dict(bbox_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszInstanceLoss', loss_weight=2.0)))
