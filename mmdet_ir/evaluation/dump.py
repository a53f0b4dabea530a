"""Predictions as a pickle file."""

import pickle
from collections.abc import Sequence

import torch
from mmdet.evaluation import DumpDetResults
from mmengine.logging import print_log

from ..binary_masks import binary_masks
from ..fileio import whole_file


class DumpBinaryMasks(DumpDetResults):
    """MMDetection's ``DumpDetResults``, which encodes masks, refusing those that are not binary.

    The file takes its name when all of it is there.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        coded = {}  # (masks that are RLE already, which the stock class would encode)
        for index, sample in enumerate(data_samples):
            found = sample.get('pred_instances', {})
            if isinstance(found.get('masks'), torch.Tensor):
                found['masks'] = binary_masks(found['masks'], f'image {sample.get("img_id")}')
            elif 'masks' in found:
                coded[len(self.results) + index] = found.pop('masks')
        super().process(data_batch, data_samples)
        for index, masks in coded.items():
            self.results[index]['pred_instances']['masks'] = masks

    def compute_metrics(self, results: list) -> dict:
        """Writes the file; called on the main process only.

        Raises:
            OutputError: If it cannot be written.
        """
        with whole_file(self.out_file_path) as file:
            pickle.dump(results, file)
        print_log(f'detections: {self.out_file_path}', 'current')
        return {}
