"""Numbers about the targets of a data set: how many, how large, where, and how much they stand out."""

from collections import Counter
from dataclasses import dataclass, field

from mmdet_ir.datasets.images.infrared_io import read_infrared

import numpy as np
from mmengine.dataset import BaseDataset
from tqdm import tqdm

from ..images import ground_truth_of

SURROUNDINGS = 20  # pixels around a box that count as its background
_GUARD = 2  # pixels around any target that count neither way
_ENOUGH = 30  # pixels of background from which its deviation means something


@dataclass
class Statistics:
    """Of the annotated targets of one split; ignored regions are counted only.

    Attributes:
        name: Of the split.
        file: The annotation file.
        sizes: How many images have which (width, height).
        depths: How many of the images that were read have which type of pixels.
        per_image: ``[I]``, targets of each image.
        labels: ``[N]``.
        sides: ``[N]``, square root of the box's area in pixels of the file.
        centres: ``[N, 2]``, centre of the box as a fraction of the image's width and height.
        ignored: Number of ignored regions.
        contrast_labels: ``[M]``, labels of the targets whose surroundings were measured.
        contrasts: ``[M]``, signal-to-clutter ratio of these, negative where the target is darker.
    """

    name: str
    file: str
    sizes: Counter = field(default_factory=Counter)
    depths: Counter = field(default_factory=Counter)
    per_image: np.ndarray | None = None
    labels: np.ndarray | None = None
    sides: np.ndarray | None = None
    centres: np.ndarray | None = None
    ignored: int = 0
    contrast_labels: np.ndarray | None = None
    contrasts: np.ndarray | None = None


def signal_to_clutter(image: np.ndarray, boxes: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
    """Signal-to-clutter ratio of each target: ``(mean of target - mean of background) / deviation of background``.

    Source: Gao et al., "Infrared Patch-Image Model for Small Target Detection in a Single Image", TIP 2013, eq. 17,
    without taking the absolute value. The background is the box enlarged by ``SURROUNDINGS``, without the boxes of
    any target, each enlarged by 2 pixels. The ratio does not depend on level and gain of the image.

    Args:
        image: ``[H, W]``, any real type.
        boxes: ``[N, 4]``, corners x1, y1, x2, y2 in pixels.
        masks: ``[N, H, W]``, bool; without them the boxes are the targets.

    Returns:
        ``[N]``, NaN where the target has no pixel, or the background is too small or constant.
    """
    height, width = image.shape
    image = image.astype(np.float64)

    def window(box: np.ndarray, margin: int) -> tuple[slice, slice]:
        x1, y1 = np.maximum(np.floor(box[:2]).astype(int) - margin, 0)
        x2, y2 = np.ceil(box[2:]).astype(int) + margin
        return slice(y1, min(max(y2, 0), height)), slice(x1, min(max(x2, 0), width))

    free = np.ones((height, width), bool)
    for box in boxes:
        free[window(box, _GUARD)] = False
    ratios = np.full(len(boxes), np.nan)
    for i, box in enumerate(boxes):
        target = image[window(box, 0)].ravel() if masks is None else image[masks[i]]
        around = window(box, SURROUNDINGS)
        background = image[around][free[around]]
        if len(target) and len(background) >= _ENOUGH and (deviation := background.std()) > 0:
            ratios[i] = (target.mean() - background.mean()) / deviation
    return ratios


def measure(name: str, dataset: BaseDataset, max_images: int = 300, progress: bool = False) -> Statistics:
    """Collect the statistics of a data set that reads COCO files.

    Args:
        name: Of the split.
        dataset: A fully initialised data set without wrappers.
        max_images: Images that are read for the contrasts, spread evenly over the data set.
        progress: Whether to show a progress bar.
    """
    found = Statistics(name, str(dataset.ann_file))
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    targets = [[t for t in info['instances'] if not t['ignore_flag']] for info in infos]
    found.ignored = sum(len(info['instances']) for info in infos) - sum(map(len, targets))
    found.sizes = Counter((info['width'], info['height']) for info in infos)
    found.per_image = np.array([len(instances) for instances in targets])
    found.labels = np.array([t['bbox_label'] for instances in targets for t in instances], int)
    boxes = np.array([t['bbox'] for instances in targets for t in instances], float).reshape(-1, 4)
    size = np.repeat([(info['width'], info['height']) for info in infos], found.per_image, axis=0).reshape(-1, 2)
    found.sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    found.centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / size

    with_masks = all('mask' in t for instances in targets for t in instances)
    labels, contrasts = [], []
    chosen = np.unique(np.linspace(0, len(infos) - 1, min(max_images, len(infos))).round().astype(int))
    for i in tqdm(chosen.tolist(), desc=f'{name}: contrast', disable=not progress):
        image = read_infrared(infos[i]['img_path'], page=infos[i].get('page'))
        found.depths[image.dtype.name] += 1
        image = image if image.ndim == 2 else image[..., 1]
        if targets[i]:
            truth = ground_truth_of(dataset, i) if with_masks else None
            box = np.array([t['bbox'] for t in targets[i]], float)
            contrasts.append(signal_to_clutter(image, box, None if truth is None else truth.masks))
            labels.append([t['bbox_label'] for t in targets[i]])
    ratios = np.concatenate([np.zeros(0), *contrasts])
    known = np.isfinite(ratios)
    found.contrasts = ratios[known]
    found.contrast_labels = np.concatenate([np.zeros(0, int), *labels]).astype(int)[known]
    return found
