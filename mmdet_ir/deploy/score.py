"""COCO metric of an exported model, on the test set of a config."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from tqdm import tqdm

from .backends import ExportedModel
from .images import open_images


def score_exported(exported: ExportedModel, cfg: Config, out: str | None = None) -> dict[str, float]:
    """Runs the model on each image of ``cfg.test_dataloader`` and scores it with ``cfg.test_evaluator``.

    Only the loader of the test pipeline is used; the rest of the pipeline is within the model.

    Args:
        exported: The model; images are given singly, or repeated to the number it was exported for.
        cfg: Config with the test set and the metric.
        out: JSON file for the unrounded values.

    Returns:
        The metrics by name, as ``tools/test.py`` has them.

    Raises:
        ValueError: If the classes of model and test set are not the same, or the model does not take the images.
    """
    dataset, meta = open_images(cfg, 'test', exported)
    # (the metric needs no annotations here, it reads them from its own file)
    metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    for metric in metrics if out is not None else ():
        metric['out_json'] = out
    evaluator = Evaluator(metrics)
    evaluator.dataset_meta = meta
    batch = exported.meta['input']['batch'] or 1
    for index in tqdm(range(len(dataset)), disable=None):
        results = dataset[index]
        found = exported.predict([results['img']] * batch)[0]
        evaluator.process([as_data_sample(found, results['img_id'], results['ori_shape'])])
    return evaluator.evaluate(len(dataset))


def as_data_sample(found: dict[str, np.ndarray], img_id: int, ori_shape: tuple[int, int]) -> DetDataSample:
    """Detections of an image (see ``ExportedModel.predict``) as MMDetection's metrics take them."""
    names = {'boxes': 'bboxes', 'scores': 'scores', 'labels': 'labels', 'masks': 'masks'}
    instances = InstanceData(**{name: torch.as_tensor(found[key]) for key, name in names.items()})
    return DetDataSample(metainfo={'img_id': img_id, 'ori_shape': ori_shape}, pred_instances=instances)
