"""The full method: BNSA + Focal-SIoU + MBCE-Dice-Lovasz (Table 4, "Ours")."""

_base_ = './mask_rcnn_bnsa_focalsiou.py'

model = dict(roi_head=dict(mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss'))))
