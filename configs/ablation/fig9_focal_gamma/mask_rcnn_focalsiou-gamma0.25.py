"""Fig. 9: Focal-SIoU with the exponent 0.25; its weight by the rule in docs/method/method.md."""

_base_ = '../../ir/mask_rcnn_focalsiou.py'

model = dict(roi_head=dict(bbox_head=dict(loss_bbox=dict(gamma=0.25, loss_weight=9.0))))
