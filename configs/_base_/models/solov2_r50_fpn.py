"""MMDetection's SOLOv2 R50-FPN for the four infrared classes."""

_base_ = []  # only the model is taken from MMDetection's config: its data and schedule would clash with ours

from mmengine.hub import get_config  # noqa: E402

model = get_config('mmdet::solov2/solov2_r50_fpn_1x_coco.py').model
model.mask_head.num_classes = 4
