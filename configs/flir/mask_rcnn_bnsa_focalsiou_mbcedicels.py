"""Table 5: the full method on FLIR ADAS, the three parts as in `configs/ir`."""

_base_ = './mask_rcnn.py'

model = dict(
    neck=dict(type='PluginFPN', plugin=dict(type='BNSA', reduction=4), plugin_stages=(1, 2)),
    roi_head=dict(
        bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type='FocalSIoULoss', gamma=0.5, loss_weight=10.0)),
        mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss')),
    ),
)
