"""How well BoxInst's pairwise supervision agrees with exact masks.

BoxInst teaches neighbouring cells that look alike to take the same label. Where the masks are known, that is right or
wrong for each pair.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from mmdet.models.utils.misc import unfold_wo_center
from mmdet.registry import DATASETS, MODELS
from mmengine.registry import init_default_scope
from torch import Tensor

PIPELINE = [
    {'type': 'LoadIRImageFromFile'},
    {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    {'type': 'PackDetInputs', 'meta_keys': ('img_shape',)},
]


@dataclass
class EdgeCounts:
    """Pairs of a cell in the box and a neighbour in the image, over all boxes.

    Attributes:
        pairs: All of them.
        same: Those with the same label.
        selected: Those that are taught to be the same.
        right: Those of the selected with the same label.
    """

    pairs: int = 0
    same: int = 0
    selected: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        """Fraction of the selected pairs that do not cross the mask's outline."""
        return self.right / self.selected

    @property
    def recall(self) -> float:
        """Fraction of the pairs with the same label that are selected."""
        return self.right / self.same

    def add(self, edges: Tensor, boxes: Tensor, masks: Tensor, dilation: int) -> None:
        """Counts the pairs of one image.

        Args:
            edges: Selected neighbours, shape ``[N, 8, H, W]``, in row-major order.
            boxes: Cells in the box of each target, shape ``[N, H, W]``, bool.
            masks: Cells in its mask, same shape.
            dilation: Distance between neighbours in cells.
        """
        labels = masks.float()[:, None]
        same = unfold_wo_center(labels, 3, dilation)[:, 0] == labels
        inside = unfold_wo_center(torch.ones_like(labels), 3, dilation)[:, 0] > 0
        pairs = inside & boxes[:, None]
        selected = edges.bool() & pairs
        self.pairs += int(pairs.sum())
        self.same += int((pairs & same).sum())
        self.selected += int(selected.sum())
        self.right += int((selected & same).sum())


def change_contrast(image: Tensor, gain: float) -> Tensor:
    """Scales an 8-bit image ``[C, H, W]`` about its mean and rounds it again."""
    image = image.float()
    return ((image - image.mean()) * gain + image.mean()).round().clamp(0, 255).to(torch.uint8)


def count_edges(preprocessor: dict, data_root: Path, count: int, gain: float) -> EdgeCounts:
    """Edges that a data preprocessor of BoxInst selects in the first images of a data set with exact masks.

    Args:
        preprocessor: Config of ``InfraredBoxInstDataPreprocessor`` or ``BoxInstDataPreprocessor``.
        data_root: COCO data set; ``annotations/train.json`` and ``images/``.
        count: Number of images.
        gain: Factor of each image's contrast.
    """
    init_default_scope('mmdet')
    dataset: Iterable[dict] = DATASETS.build(
        {
            'type': 'IRDataset',
            'data_root': f'{data_root}/',
            'ann_file': 'annotations/train.json',
            'data_prefix': {'img': 'images/'},
            'pipeline': PIPELINE,
        }
    )
    model = MODELS.build(preprocessor)
    stride, dilation = model.mask_stride, model.pairwise_dilation
    counts = EdgeCounts()
    for item in islice(dataset, count):
        masks = item['data_samples'].gt_instances.masks
        inputs = [change_contrast(item['inputs'], gain)]
        sample = model({'inputs': inputs, 'data_samples': [item['data_samples']]}, training=True)['data_samples'][0]
        gt = sample.gt_instances
        boxes, masks = (
            m.pad(sample.batch_input_shape).to_tensor(torch.bool, 'cpu')[
                :, stride // 2 :: stride, stride // 2 :: stride
            ]
            for m in (gt.masks, masks)
        )
        counts.add(gt.pairwise_masks, boxes, masks, dilation)
    return counts
