"""Predictions as a pickle file."""

from collections.abc import Sequence

import torch
from mmdet.evaluation import DumpDetResults

from ..binary_masks import binary_masks


class DumpBinaryMasks(DumpDetResults):
    """MMDetection's ``DumpDetResults``, which encodes masks, refusing those that are not binary."""

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            found = sample.get('pred_instances', {})
            if isinstance(found.get('masks'), torch.Tensor):
                found['masks'] = binary_masks(found['masks'], f'image {sample.get("img_id")}')
        super().process(data_batch, data_samples)
