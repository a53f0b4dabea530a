"""BlendMask with the data and schedule of `configs/ir/mask_rcnn.py`.

No BlendMask weights exist for MMDetection, so training starts from ImageNet's: `torchvision://resnet50`.
"""

_base_ = [
    '../_base_/models/blendmask_r50_fpn.py',
    '../_base_/datasets/ir_instance.py',
    '../_base_/schedules/ir_100e.py',
    '../_base_/default_runtime.py',
]
