"""Focal-SIoU with the gradient through its weight IoU^gamma; loss weight by the rule of docs/method/method.md."""

_base_ = '../../ir/mask_rcnn_focalsiou.py'

model = dict(roi_head=dict(bbox_head=dict(loss_bbox=dict(detach_weight=False, loss_weight=14.0))))
