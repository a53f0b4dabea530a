"""Fig. 9: Focal-SIoU with the exponent 1.0; its weight by the rule in docs/method/method.md."""

_base_ = '../../ir/mask_rcnn_focalsiou.py'

model = dict(roi_head=dict(bbox_head=dict(loss_bbox=dict(gamma=1.0, loss_weight=12.5))))
