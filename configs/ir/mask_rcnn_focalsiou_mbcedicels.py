"""Focal-SIoU + MBCE-Dice-Lovasz."""

_base_ = './mask_rcnn_focalsiou.py'

model = dict(roi_head=dict(mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss'))))
