"""MMDetection's CondInst R50-FPN for the four infrared classes."""

_base_ = []  # only the model is taken from MMDetection's config: its data and schedule would clash with ours

from mmengine.hub import get_config  # noqa: E402

model = get_config('mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py').model
model.bbox_head.num_classes = 4
