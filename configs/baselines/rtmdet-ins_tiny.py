"""RTMDet-Ins, fine-tuned from MMDetection's COCO weights with the data and schedule of `configs/ir/mask_rcnn.py`."""

_base_ = [
    '../_base_/models/rtmdet-ins_tiny.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/rtmdet/rtmdet-ins_tiny_8xb32-300e_coco/'
    'rtmdet-ins_tiny_8xb32-300e_coco_20221130_151727-ec670f7e.pth'
)

# assumption: RTMDet's optimiser; its learning rate, 0.004 for 256 images a step, is scaled to 4
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.004 * 4 / 256, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
)
