"""MMDetection's BoxInst R50-FPN for the four infrared classes, with a similarity of pixels that needs no colour."""

_base_ = []  # only the model is taken from MMDetection's config: its data and schedule would clash with ours

from mmengine.hub import get_config  # noqa: E402

model = get_config('mmdet::boxinst/boxinst_r50_fpn_ms-90k_coco.py').model
model.bbox_head.num_classes = 4
model.data_preprocessor.type = 'InfraredBoxInstDataPreprocessor'
model.data_preprocessor.pop('pairwise_color_thresh')
model.data_preprocessor.pop('bottom_pixels_removed')  # for a flaw of COCO's annotations
