"""Numbers about the targets of a data set: how many, how large, where, and how much they stand out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from mmengine.dataset import BaseDataset
from tqdm import tqdm

from ...cli import Skipped, reading
from ...datasets.images.infrared_io import read_infrared
from ...datasets.transforms.loading import LoadIRImageFromFile
from ...evaluation.contrast import signal_to_clutter
from ..images import ground_truth_of


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


def measure_split(
    name: str, dataset: BaseDataset, max_images: int = 300, progress: bool = False, skipped: Skipped | None = None
) -> Statistics:
    """Collect the statistics of a data set that reads COCO files.

    Args:
        name: Of the split.
        dataset: A fully initialised data set without wrappers.
        max_images: Images that are read for the contrasts, spread evenly over the data set.
        progress: Whether to show a progress bar.
        skipped: Gets the images that cannot be read; without it the first of them is an error.
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
    labels, contrasts, settings = [], [], settings_of(dataset)
    chosen = np.unique(np.linspace(0, len(infos) - 1, min(max_images, len(infos))).round().astype(int))
    for i in tqdm(chosen.tolist(), desc=f'{name}: contrast', disable=not progress):
        image = None
        with reading(skipped, infos[i]['img_path']):
            image = read_infrared(infos[i]['img_path'], page=infos[i].get('page'), **settings)
        if image is None:
            continue
        found.depths[image.dtype.name] += 1
        image = image if image.ndim == 2 else image[..., 1]
        if targets[i]:
            areas = box_masks([t['bbox'] for t in infos[i]['instances']], image.shape)
            ignored = np.array([t['ignore_flag'] for t in infos[i]['instances']], bool)
            masks = ground_truth_of(dataset, i).masks if with_masks else areas[~ignored]
            taken = masks.any(axis=0) | areas[ignored].any(axis=0)
            contrasts.append(signal_to_clutter(image, masks, taken, signed=True))
            labels.append([t['bbox_label'] for t in targets[i]])
    ratios = np.concatenate([np.zeros(0), *contrasts])
    known = np.isfinite(ratios)
    found.contrasts = ratios[known]
    found.contrast_labels = np.concatenate([np.zeros(0, int), *labels]).astype(int)[known]
    return found


def settings_of(dataset: BaseDataset) -> dict:
    """Arguments of ``read_infrared`` as the loader of a data set has them."""
    transforms = getattr(dataset.pipeline, 'transforms', ())
    return next((t.reading for t in transforms if isinstance(t, LoadIRImageFromFile)), {})


def box_masks(boxes: Sequence[Sequence[float]], shape: tuple[int, int]) -> np.ndarray:
    """The pixels that boxes touch.

    Args:
        boxes: Corners x1, y1, x2, y2 in pixels.
        shape: Height and width of the image.

    Returns:
        ``[N, H, W]``, bool.
    """
    masks = np.zeros((len(boxes), *shape), bool)
    for mask, box in zip(masks, boxes, strict=True):
        x1, y1 = np.maximum(np.floor(box[:2]).astype(int), 0)
        x2, y2 = np.maximum(np.ceil(box[2:]).astype(int), 0)
        mask[y1:y2, x1:x2] = True
    return masks
