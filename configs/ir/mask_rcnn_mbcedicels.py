"""Baseline + MBCE-Dice-Lovasz mask loss (Eq. 13-18, Table 3)."""

_base_ = './mask_rcnn.py'

model = dict(roi_head=dict(mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss'))))
