"""Scores of a model that sees the test images tile by tile, with the columns of ``tools/test.py``."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from tqdm import tqdm

from ..datasets.wrappers import build_leaves, dataset_for_testing, part_for_testing
from ..evaluation.dump import DumpBinaryMasks
from ..evaluation.ir_coco_metric import separate_files
from ..visualization.overlay import FoundInstance
from .inference.inferencer import IRInferencer
from .inference.tiles import plan_tiles
from .launch import load_config
from .preflight import check_before_testing


def test_tiled(
    config: str,
    checkpoint: str,
    tile: tuple[int, int],
    overlap: float = 0.2,
    *,
    out: str | None = None,
    cfg_options: dict | None = None,
) -> dict[str, float]:
    """Tests a checkpoint on the test set of its config, each image in tiles; see ``IRInferencer.predict_tiled``.

    Args:
        config: File name.
        checkpoint: File name or URL.
        tile: Width and height in pixels.
        overlap: Share of a tile that its neighbour sees, too.
        out: Pickle for all predictions, masks as RLE.
        cfg_options: Dotted keys of the config and their values.

    Returns:
        The metrics by name.

    Raises:
        ValueError: For another ending of ``out``, an overlap out of its range, a pipeline that resizes before it maps
            tones, and a checkpoint that does not fit the config.

    Example:
        >>> from mmdet_ir.apis import test_tiled
        >>> metrics = test_tiled('config.py', 'weights.pth', (64, 48), 0.25)
        >>> 0 <= metrics['coco/segm_mAP'] <= 1
        True
    """
    if out is not None and not out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--out: expected a name that ends in .pkl or .pickle, got {out!r}')
    plan_tiles(tile[::-1], tile, overlap)  # refuses a wrong overlap now
    cfg = load_config(config, cfg_options)
    check_before_testing(cfg)
    inferencer = IRInferencer(config, checkpoint, show_progress=False, cfg_options=cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    parts = build_leaves(dataset_for_testing(cfg))
    evaluator = Evaluator(part_for_testing(cfg, 'test_evaluator'))
    separate_files(evaluator.metrics)
    if out is not None:
        evaluator.metrics.append(DumpBinaryMasks(out_file_path=out))
    evaluator.dataset_meta = parts[0].metainfo
    everything = np.zeros(len(inferencer.classes))  # the model's own limits of scores hold
    with tqdm(total=sum(map(len, parts)), unit='image', disable=None) as progress:
        for part in parts:
            for index in range(len(part)):
                given = part.get_data_info(index)
                image = inferencer.read(given['img_path'], given.get('page'))
                found, _ = inferencer.predict_tiled(image, given['img_path'], tile, overlap, everything)
                evaluator.process([as_sample(found, given['img_id'], image.shape[:2], given['img_path'])])
                progress.update()
    return evaluator.evaluate(sum(map(len, parts)))


def as_sample(found: list[FoundInstance], img_id: int, shape: tuple[int, int], path: str) -> DetDataSample:
    """Detections as the metrics take them; masks stay RLE, so that large images need no more memory."""
    instances = InstanceData(
        bboxes=torch.tensor([one.box for one in found], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([one.score for one in found], dtype=torch.float32),
        labels=torch.tensor([one.label for one in found], dtype=torch.long),
        masks=[{**one.rle, 'counts': one.rle['counts'].encode()} for one in found],
    )
    return DetDataSample(metainfo={'img_id': img_id, 'img_path': path, 'ori_shape': shape}, pred_instances=instances)
