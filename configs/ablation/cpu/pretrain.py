"""Where every cell of the CPU-size study starts: the small baseline, trained on 3000 synthetic scenes.

It stands for the COCO-pretrained weights of the paper's recipe. The scenes are not those that cells train or test on.
"""

_base_ = [
    '../../_base_/models/mask_rcnn_small.py',
    '../../_base_/datasets/synthetic_pretrain.py',
    '../../_base_/schedules/small_8e.py',
    '../../_base_/small_runtime.py',
]
