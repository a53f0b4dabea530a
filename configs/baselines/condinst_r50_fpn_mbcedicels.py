"""CondInst + MBCE-Dice-Lovasz mask loss."""

_base_ = './condinst_r50_fpn.py'

model = dict(mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszInstanceLoss')))
