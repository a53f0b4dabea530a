"""BlendMask + Focal-SIoU box loss."""

_base_ = './blendmask_r50_fpn.py'

model = dict(bbox_head=dict(loss_bbox=dict(_delete_=True, type='FocalSIoULoss', gamma=0.5, loss_weight=1.0)))
