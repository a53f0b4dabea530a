"""RTMDet-Ins masks of images whose width and height were scaled differently.

MMDetection 3.3 enlarges the masks' height by the factor of the width and the reverse (``rtmdet_ins_head.py``, lines
503 and 504), so masks miss their boxes as soon as the factors differ. Its maintained fork has mended that.
"""

import functools
import inspect

from mmdet.models.dense_heads import RTMDetInsHead
from mmengine.structures import InstanceData
from torch import Tensor

_SWAPPED = 'mask_logits.shape[-2] * scale_factor[0]'  # height by the factor of the width


class _WithTurnedMasks:
    """The head, whose mask logits come with height and width exchanged."""

    def __init__(self, head: RTMDetInsHead) -> None:
        self._head = head

    def __getattr__(self, name: str) -> object:
        return getattr(self._head, name)

    def _mask_predict_by_feat_single(self, *args: Tensor) -> Tensor:
        return self._head._mask_predict_by_feat_single(*args).transpose(-2, -1)


def scale_masks_as_their_boxes() -> None:
    """Lets the stock code see masks with height and width exchanged, where it exchanges their factors."""
    stock = RTMDetInsHead._bbox_mask_post_process
    if _SWAPPED not in inspect.getsource(stock):
        return

    @functools.wraps(stock)
    def post_process(
        self: RTMDetInsHead,
        results: InstanceData,
        mask_feat: Tensor,
        cfg: dict,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        if not rescale:
            return stock(self, results, mask_feat, cfg, rescale, with_nms, img_meta)
        turned = {**img_meta, 'ori_shape': img_meta['ori_shape'][1::-1]}
        results = stock(_WithTurnedMasks(self), results, mask_feat, cfg, rescale, with_nms, turned)
        results.masks = results.masks.transpose(-2, -1)
        return results

    RTMDetInsHead._bbox_mask_post_process = post_process
