"""The full method, fine-tuned on real images from weights that were pretrained with BNSA (`pretrain_bnsa.py`)."""

_base_ = './mask_rcnn_bnsa-pretrained_real.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type='FocalSIoULoss', gamma=0.5, loss_weight=10.0)),
        mask_head=dict(loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss')),
    )
)
