"""BNSA + MBCE-Dice-Lovasz."""

_base_ = './mask_rcnn_bnsa.py'

model = dict(roi_head=dict(mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss'))))
