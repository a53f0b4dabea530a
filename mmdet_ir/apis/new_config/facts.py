"""What a config has to know about a data set, measured from its annotation file and its images."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...datasets.coco_files import read_coco
from ...datasets.images.infrared_io import read_infrared
from ...datasets.images.values import depth_of

SAMPLED = 200  # images that are decoded; the others are known from the annotation file
PERCENTILES = (0.5, 99.7)  # of the window, as in tools/data/measure_window.py
_PIXELS = 4096  # drawn from each image


@dataclass(frozen=True)
class DataFacts:
    """A data set in numbers.

    Attributes:
        classes: Names of the categories, in the order of the file, which is that of the labels.
        images: Number of images.
        targets: Number of annotations that are no ignored regions.
        size: Width and height that most images have, in pixels.
        sizes: How many images have each width and height.
        depth: ``'8-bit'``, ``'16-bit'`` or ``'float'``: the pixels of the images that were decoded; for images of
            different depths all of them, each with a file.
        window: Lowest and highest value that the tone mapping should keep, in the unit of the images; ``None`` for
            8 bits and for images of different depths.
        box_sizes: Square roots of the boxes' areas, in pixels, shape ``[targets]``.
        box_shapes: Height over width of each box, shape ``[targets]``.
        most_targets: Largest number of targets in an image.
        masks: Whether every target has a mask.
    """

    classes: tuple[str, ...]
    images: int
    targets: int
    size: tuple[int, int]
    sizes: Counter
    depth: str
    window: tuple[float, float] | None
    box_sizes: np.ndarray
    box_shapes: np.ndarray
    most_targets: int
    masks: bool


def collect_facts(annotations: str | os.PathLike, images: str | os.PathLike, seed: int = 0) -> DataFacts:
    """Measures a data set.

    Args:
        annotations: COCO file.
        images: Folder that its file names are relative to.
        seed: Of the choice of images and pixels.

    Raises:
        FileNotFoundError: If the annotation file, or an image that is looked at, is missing.
        ValueError: If the annotation file is unsound or without targets, images have different depths, or hold no
            contrast. The message names the file.

    Example:
        >>> facts = collect_facts('data/synthetic/annotations/train.json', 'data/synthetic/images')  # doctest: +SKIP
        >>> facts.classes, facts.depth  # doctest: +SKIP
        (('human', 'car', 'bicycle', 'uav'), '8-bit')
    """
    coco = read_coco(annotations, masks=True)
    classes = tuple(category['name'] for category in coco['categories'])
    targets = [annotation for annotation in coco['annotations'] if not annotation.get('iscrowd')]
    if not targets:
        raise ValueError(f'{annotations}: expected targets to train on, got {len(coco["images"])} images without any')
    sizes = Counter((image['width'], image['height']) for image in coco['images'])
    depth, window = _measure_values(coco['images'], Path(images), seed)
    boxes = np.array([target['bbox'][2:] for target in targets], dtype=float)
    return DataFacts(
        classes=classes,
        images=len(coco['images']),
        targets=len(targets),
        size=sizes.most_common(1)[0][0],
        sizes=sizes,
        depth=depth,
        window=window,
        box_sizes=np.sqrt(boxes.prod(axis=1)),
        box_shapes=boxes[:, 1] / boxes[:, 0],
        most_targets=max(Counter(target['image_id'] for target in targets).values()),
        masks=all(target.get('segmentation') for target in targets),
    )


def _measure_values(images: list[dict], folder: Path, seed: int) -> tuple[str, tuple[float, float] | None]:
    """Depth of the pixels, and the window that holds nearly all of them."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(images))[:SAMPLED]
    kinds, drawn = {}, []
    for index in tqdm(sorted(chosen.tolist()), desc='images', unit='image'):
        path = folder / images[index]['file_name']
        pixels = read_infrared(path, page=images[index].get('page'))
        kind = {'8': '8-bit', '16': '16-bit'}.get(depth_of(pixels), 'float')
        kinds.setdefault(kind, path)
        values = pixels.ravel()
        drawn.append(values[rng.integers(0, values.size, _PIXELS)].astype(np.float64))
    if len(kinds) > 1:
        return ', '.join(f'{kind} ({path})' for kind, path in kinds.items()), None
    (depth,) = kinds
    if depth == '8-bit':
        return depth, None
    low, high = (float(value) for value in np.percentile(np.concatenate(drawn), PERCENTILES))
    if not low < high:
        raise ValueError(f'{folder}: expected images with contrast, got the value {low:g} nearly everywhere')
    return depth, (low, high)
