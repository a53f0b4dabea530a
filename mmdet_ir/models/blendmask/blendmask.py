"""BlendMask (Chen et al., "BlendMask: Top-Down Meets Bottom-Up for Instance Segmentation", CVPR 2020)."""

from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.registry import MODELS


@MODELS.register_module()
class BlendMask(SingleStageInstanceSegmentor):
    """FCOS whose detections carry attention maps, and bases of the whole image that these maps blend into masks.

    Backbone and neck are free; ``bbox_head`` is :class:`FCOSTopHead`, ``mask_head`` is :class:`BlendMaskHead`. Losses:
    ``loss_cls``, ``loss_bbox``, ``loss_centerness``, ``loss_mask``, ``loss_semantic``.

    Example:
        >>> from mmdet.registry import MODELS
        >>> from mmdet_ir.models import BlendMask
        >>> MODELS.get('BlendMask') is BlendMask  # as configs/baselines/blendmask_r50_fpn.py names it
        True
    """
