"""Table 3: MBCE + Dice, without Lovasz."""

_base_ = '../../ir/mask_rcnn_mbcedicels.py'

model = dict(roi_head=dict(mask_head=dict(loss_mask=dict(lovasz_weight=0.0))))
