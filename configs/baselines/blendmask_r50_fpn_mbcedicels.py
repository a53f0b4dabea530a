"""BlendMask + MBCE-Dice-Lovasz mask loss; the positive locations count alike instead of by their centerness."""

_base_ = './blendmask_r50_fpn.py'

model = dict(mask_head=dict(centerness_weighted=False, loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss')))
