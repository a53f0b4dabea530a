"""SOLOv2 + MBCE-Dice-Lovasz mask loss, with the weight of its Dice loss."""

_base_ = './solov2_r50_fpn.py'

model = dict(mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszInstanceLoss', loss_weight=3.0)))
