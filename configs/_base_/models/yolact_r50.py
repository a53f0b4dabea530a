"""MMDetection's YOLACT R50 for the four infrared classes, at the camera's own size instead of 550x550."""

_base_ = []  # only the model is taken from MMDetection's config: its data and schedule would clash with ours

from mmengine.hub import get_config  # noqa: E402

model = get_config('mmdet::yolact/yolact_r50_1xb8-55e_coco.py').model
model.bbox_head.num_classes = 4
model.mask_head.num_classes = 4
# The original states the strides of a 550x550 image; 640x512 is a multiple of each of these.
model.bbox_head.anchor_generator.strides = [8, 16, 32, 64, 128]
model.bbox_head.anchor_generator.centers = [(4, 4), (8, 8), (16, 16), (32, 32), (64, 64)]
