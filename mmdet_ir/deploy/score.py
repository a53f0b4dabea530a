"""COCO metric of an exported model, on the test set of a config."""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData
from tqdm import tqdm

from ..apis.inference.tiles import join, place, plan_tiles
from ..apis.tiled_test import as_sample
from ..datasets.wrappers import part_for_testing
from ..evaluation.ir_coco_metric import IRCocoMetric, separate_files
from ..visualization.overlay import FoundInstance, find_instances
from .backends import ExportedModel
from .images import open_images


def score_exported(
    exported: ExportedModel,
    cfg: Config,
    out: str | None = None,
    tile: tuple[int, int] | None = None,
    overlap: float = 0.2,
) -> dict[str, float]:
    """Runs the model on each image of ``cfg.test_dataloader`` and scores it with ``cfg.test_evaluator``.

    Only the loader of the test pipeline is used; the rest of the pipeline is within the model.

    Args:
        exported: The model; images are given singly, or repeated to the number it was exported for.
        cfg: Config with the test set and the metric.
        out: JSON file for the unrounded values of ``IRCocoMetric``.
        tile: Width and height of the tiles that images are cut into; ``None`` to take them whole.
        overlap: Share of a tile that its neighbour sees, too.

    Returns:
        The metrics by name, as ``tools/test.py`` has them.

    Raises:
        ValueError: If the classes of model and test set are not the same, the model does not take the images, it
            cannot take them in tiles, see ``predict_tiled``, or no metric could write ``out``.
    """
    dataset, meta = open_images(cfg, 'test', exported)
    # (the metric needs no annotations here, it reads them from its own file)
    evaluator = Evaluator(part_for_testing(cfg, 'test_evaluator'))
    if out is not None:
        _save_to(out, evaluator.metrics)
    separate_files(evaluator.metrics)
    evaluator.dataset_meta = meta
    batch = exported.meta['input']['batch'] or 1
    for index in tqdm(range(len(dataset)), disable=None):
        results = dataset[index]
        if tile is None:
            found = exported.predict([results['img']] * batch)[0]
            sample = as_data_sample(found, results['img_id'], results['ori_shape'])
            sample.set_metainfo({'img_path': results['img_path']})
        else:
            instances = predict_tiled(exported, results['img'], tile, overlap)
            sample = as_sample(instances, results['img_id'], results['ori_shape'], results['img_path'])
        evaluator.process([sample])
    return evaluator.evaluate(len(dataset))


def _save_to(out: str, metrics: Sequence[BaseMetric]) -> None:
    """Sets the file of those metrics that save their scores, and says of which the scores are only shown."""
    saving = [metric for metric in metrics if isinstance(metric, IRCocoMetric)]
    others = [type(metric).__name__ for metric in metrics if metric not in saving]
    if not saving:
        raise ValueError(f'--out {out}: expected an IRCocoMetric in test_evaluator, which saves scores, got {others}')
    if others:
        MMLogger.get_current_instance().warning(
            f'{out}: gets the scores of IRCocoMetric; those of {", ".join(others)} are shown and not saved'
        )
    for metric in saving:
        metric.out_json = out


def predict_tiled(
    exported: ExportedModel,
    image: np.ndarray,
    tile: tuple[int, int],
    overlap: float = 0.2,
    thresholds: np.ndarray | None = None,
) -> list[FoundInstance]:
    """Detections of a large image, tile by tile, with those that a seam cuts joined; see ``tiles.join``.

    Args:
        exported: The model.
        image: As for ``ExportedModel.as_input``.
        tile: Width and height in pixels.
        overlap: Share of a tile that its neighbour sees, too.
        thresholds: Lowest score of each class; by default the model's own.

    Raises:
        ValueError: For an overlap out of its range, or a model that maps the tones of each tile by itself.
    """
    mapping = exported.meta['tone_mapping']
    if mapping is not None and mapping['method'] != 'window':
        raise ValueError(
            f'{exported.path}: tiles: expected a model with one tone mapping for the whole image, window or none, got '
            f'{mapping["method"]}, which it would compute for each tile; tools/infer.py --tile maps the whole image'
        )
    thresholds = np.zeros(len(exported.classes)) if thresholds is None else thresholds
    size, batch = image.shape[:2], exported.meta['input']['batch'] or 1
    found, tiles = [], plan_tiles(size, tile, overlap)
    for part in tiles:
        one = exported.predict([np.ascontiguousarray(part.cut(image))] * batch)[0]
        instances = find_instances(as_data_sample(one, 0, part.shape).pred_instances, thresholds)
        found += [(place(instance, part, size), part) for instance in instances]
    return join(found, size, tiles)


def as_data_sample(found: dict[str, np.ndarray], img_id: int, ori_shape: tuple[int, int]) -> DetDataSample:
    """Detections of an image (see ``ExportedModel.predict``) as MMDetection's metrics take them."""
    names = {'boxes': 'bboxes', 'scores': 'scores', 'labels': 'labels', 'masks': 'masks'}
    instances = InstanceData(**{name: torch.as_tensor(found[key]) for key, name in names.items()})
    return DetDataSample(metainfo={'img_id': img_id, 'ori_shape': ori_shape}, pred_instances=instances)
