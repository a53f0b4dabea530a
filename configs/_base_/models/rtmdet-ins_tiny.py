"""MMDetection's RTMDet-Ins-tiny for the four infrared classes."""

_base_ = []  # only the model is taken from MMDetection's config: its data and schedule would clash with ours

from mmengine.hub import get_config  # noqa: E402

model = get_config('mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py').model
model.bbox_head.num_classes = 4
# The original's pipeline pads every image to 640x640. Here images keep their size, and a batch is padded together.
model.data_preprocessor.pad_mask = True
model.data_preprocessor.pad_size_divisor = 32
