"""One detection for each target, where a model gives several."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pycocotools import mask as mask_utils

from ...visualization.overlay import FoundInstance

SAME_SHARE = 0.5  # of the smaller of two masks, from which on they show one target


def merge_duplicates(instances: Sequence[FoundInstance], share: float = SAME_SHARE) -> list[FoundInstance]:
    """Detections of an image, each target once.

    Boxes of one small target can overlap too little for the NMS of a model, while their masks show the same pixels.
    The best detection of a target stays, with its mask and score; its box becomes the mean of all boxes of the
    target, weighted by their scores, which is nearer to the target than the best box alone. Boxes are averaged as in
    Solovyev et al., "Weighted boxes fusion", Image and Vision Computing 107, 2021.

    Args:
        instances: In pixels of one image.
        share: What two masks of one class have in common, as a part of the smaller one, to be one target.

    Returns:
        Best first.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.apis.inference.duplicates import merge_duplicates
        >>> from mmdet_ir.apis.inference.tiles import encode_crop
        >>> from mmdet_ir.visualization.overlay import FoundInstance
        >>> crop = np.ones((4, 4), bool)
        >>> rle = encode_crop(crop, (10, 10), (64, 64))
        >>> tight = FoundInstance(0, 0.9, (10.0, 10.0, 14.0, 14.0), rle, 16, (10, 10), crop)
        >>> wide = FoundInstance(0, 0.3, (8.0, 8.0, 18.0, 18.0), rle, 16, (10, 10), crop)
        >>> [(one.score, one.box) for one in merge_duplicates([wide, tight])]
        [(0.9, (9.5, 9.5, 15.0, 15.0))]
    """
    ranked = sorted(instances, key=lambda instance: -instance.score)
    masks = [instance.rle for instance in ranked]
    within = np.asarray(mask_utils.iou(masks, masks, [1] * len(masks))) if masks else np.zeros((0, 0))
    labels = np.array([instance.label for instance in ranked])
    same = (np.maximum(within, within.T) >= share) & (labels[:, None] == labels)
    groups: dict[int, list[int]] = {}
    for number in range(len(ranked)):
        best = next((first for first in groups if same[number, first]), number)
        groups.setdefault(best, []).append(number)
    return [_with_mean_box(ranked[best], [ranked[i] for i in group]) for best, group in groups.items()]


def _with_mean_box(best: FoundInstance, group: Sequence[FoundInstance]) -> FoundInstance:
    if len(group) == 1 or not best.score:  # (scores of 0 weigh nothing)
        return best
    box = np.average([one.box for one in group], axis=0, weights=[one.score for one in group])
    return replace(best, box=tuple(box.tolist()))
