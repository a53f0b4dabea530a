"""Images of a data set to explain a model on: their selection, their targets, and what models predict for them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmdet.structures.mask import mask2bbox
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from tqdm import tqdm

from ..binary_masks import binary_masks
from ..config.options import read_config
from ..datasets.wrappers import dataset_for_testing
from ..engine.fitting.weights import load_detector
from ..visualization import as_picture


def select_images(dataset: BaseDataset, num: int) -> list[int]:
    """Indices of images that between them show every class often, the same ones each time.

    Greedy: the next image is the one with most classes that were shown seldom so far.

    Args:
        dataset: A fully initialised detection data set.
        num: How many images; fewer if the data set is smaller.
    """
    labels = [
        {instance['bbox_label'] for instance in dataset.get_data_info(i)['instances'] if not instance['ignore_flag']}
        for i in range(len(dataset))
    ]
    return select_by_labels(labels, num)


def select_by_labels(labels: Sequence[set[int]], num: int) -> list[int]:
    """As ``select_images``, from the labels that each image shows."""
    candidates = np.random.default_rng(0).permutation(len(labels)).tolist()  # neighbours in a clip look alike
    shown = dict.fromkeys(set().union(*labels), 0)
    chosen = []
    for _ in range(min(num, len(candidates))):
        best = max(candidates, key=lambda i: sum((1 + shown[label]) ** -2 for label in labels[i]))
        candidates.remove(best)
        chosen.append(best)
        for label in labels[best]:
            shown[label] += 1
    return sorted(chosen)


def ground_truth_of(dataset: BaseDataset, index: int) -> InstanceData:
    """Targets of one image from its annotation, in pixels of the original image; crowds are left out."""
    info = dataset.get_data_info(index)
    instances = [instance for instance in info['instances'] if not instance['ignore_flag']]
    height, width = info['height'], info['width']
    masks = [_decode(instance['mask'], height, width) for instance in instances if 'mask' in instance]
    if len(masks) != len(instances):
        raise ValueError(
            f'{info["img_path"]}: expected a segmentation for each target, got {len(masks)} for {len(instances)}'
        )
    return InstanceData(
        bboxes=np.array([instance['bbox'] for instance in instances], dtype=np.float32).reshape(-1, 4),
        labels=np.array([instance['bbox_label'] for instance in instances], dtype=np.int64),
        masks=np.array(masks, dtype=bool).reshape(-1, height, width),
    )


def _decode(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Mask of COCO polygons or of a run-length encoding, compressed or not."""
    if isinstance(segmentation, list):
        rle = mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation['counts'], list):
        rle = mask_utils.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return np.asarray(mask_utils.decode(rle), dtype=bool)


def _add_boxes(prediction: InstanceData) -> InstanceData:
    """Puts boxes around the masks where a model predicts none (SOLOv2 leaves them all at zero)."""
    without = ~prediction.bboxes.any(dim=1)
    prediction.masks = binary_masks(prediction.masks)
    prediction.bboxes[without] = mask2bbox(prediction.masks[without]).to(prediction.bboxes)
    return prediction


def predict(
    config: Config, checkpoint: str | os.PathLike, dataset: BaseDataset, indices: Sequence[int], device: str
) -> Iterator[tuple[InstanceData, np.ndarray]]:
    """Predictions of a trained model for images of a data set, in numpy, and the images as it saw them."""
    model = load_detector(config, checkpoint, device)
    for index in tqdm(indices, desc=Path(config.filename).stem):
        data = dataset[index]
        with torch.no_grad():
            prediction = model.test_step(pseudo_collate([data]))[0].pred_instances.cpu()
        if 'masks' not in prediction:
            raise ValueError(f'{config.filename}: expected a model that predicts masks, got boxes only')
        yield _add_boxes(prediction).numpy(), as_picture(data['inputs'], data['data_samples'].metainfo)


def open_models(
    models: Sequence[tuple[str | os.PathLike, str | os.PathLike]],
    titles: Sequence[str] | None,
    cfg_options: dict | None,
) -> tuple[list[str], list[Config], list[BaseDataset]]:
    """Titles, configs and test sets of models.

    Args:
        models: Config and weights of each.
        titles: ``None`` for ``prediction`` where there is one model, else for the names of the configs.
        cfg_options: Settings that replace the configs'.

    Raises:
        ValueError: If the test sets do not hold the same images or have other classes, or the number of titles is not
            that of the models.
    """
    if titles is None:
        titles = [Path(name).stem for name, _ in models] if len(models) > 1 else ['prediction']
    if len(titles) != len(models):
        raise ValueError(f'titles: expected {len(models)}, one for each model, got {len(titles)}')
    configs = [read_config(str(name), cfg_options) for name, _ in models]
    init_default_scope(configs[0].get('default_scope', 'mmdet'))
    datasets = [DATASETS.build(dataset_for_testing(loaded)) for loaded in configs]
    first, *others = [[data.get_data_info(i)['img_path'] for i in range(len(data))] for data in datasets]
    for loaded, paths in zip(configs[1:], others, strict=True):
        if paths != first:
            raise ValueError(f'{loaded.filename}: expected the test images of {configs[0].filename}, got others')
    first, *others = [list(data.metainfo['classes']) for data in datasets]
    for loaded, classes in zip(configs[1:], others, strict=True):
        if classes != first:
            raise ValueError(
                f'{loaded.filename}: expected the classes of {configs[0].filename}, {first} in this order, got '
                f'{classes}; models are compared on targets of the same classes'
            )
    return list(titles), configs, datasets
