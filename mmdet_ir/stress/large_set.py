"""A COCO data set with as many images and targets as wanted, written in minutes; and detections for it."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from pycocotools import mask as mask_utils
from tqdm import tqdm

from ..datasets.coco_files import CLASSES, class_categories, output_folder
from ..datasets.synthetic import generate_scene

SHAPES = 4093  # different masks; a prime, so that neighbouring images do not share them
CORNERS = 20  # of a polygon
LINKS = 30_000  # of one file: file systems have a limit
VALIDATION_SHARE = 100  # one image of so many


@dataclass(frozen=True)
class Shapes:
    """Masks that targets take in turn, and the same a little aside for detections.

    Attributes:
        boxes: ``[S, 4]``, x, y, width, height in pixels.
        polygons: ``[S, 2 * CORNERS]``, x1, y1, x2, y2, ... in pixels.
        counts: Compressed RLE of each, as in COCO files.
        areas: ``[S]``, pixels.
        found_boxes: ``[S, 4]`` float32, corners x1, y1, x2, y2 of the detections.
        found_counts: Compressed RLE of the detections.
        size: Width and height of the images, pixels.
    """

    boxes: np.ndarray
    polygons: np.ndarray
    counts: list[bytes]
    areas: np.ndarray
    found_boxes: np.ndarray
    found_counts: list[bytes]
    size: tuple[int, int]


def make_shapes(size: tuple[int, int], seed: int) -> Shapes:
    """Draws ellipses that lie inside the image.

    Args:
        size: Width and height of the images, pixels.
        seed: Of places, sizes and angles.
    """
    rng = np.random.default_rng(seed)
    axes = np.exp(rng.uniform(np.log(3), np.log(min(size) / 8), (SHAPES, 2)))  # half the length, pixels
    margin = axes.max(axis=1, keepdims=True) + 4
    centre = margin + rng.random((SHAPES, 2)) * (np.array(size) - 2 * margin)
    turn = rng.uniform(0, np.pi, (SHAPES, 1))
    around = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    x, y = axes[:, :1] * np.cos(around), axes[:, 1:] * np.sin(around)
    outline = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=-1)
    points = (centre[:, None] + outline).round(2)
    aside = points + rng.uniform(-2, 2, (SHAPES, 1, 2))
    encoded = [_encode(outline, size) for outline in points]
    low, high = points.min(axis=1), points.max(axis=1)
    return Shapes(
        np.hstack([low, high - low]).round(2),
        points.reshape(SHAPES, -1),
        [rle['counts'] for rle in encoded],
        np.array([int(mask_utils.area(rle)) for rle in encoded]),
        np.hstack([aside.min(axis=1), aside.max(axis=1)]).astype(np.float32),
        [_encode(outline, size)['counts'] for outline in aside],
        tuple(size),
    )


def _encode(points: np.ndarray, size: tuple[int, int]) -> dict:
    return mask_utils.frPyObjects([points.ravel().tolist()], size[1], size[0])[0]


def write_large_set(
    out: str | Path,
    images: int,
    per_image: int,
    size: tuple[int, int] = (640, 512),
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write ``annotations/{train,val}.json`` and ``images/``.

    Every second target has a polygon, the others an RLE. A few synthetic scenes serve as image files, by hard links;
    what they show is not what the annotations say.

    Args:
        out: Folder to write.
        images: Number of images of the training split; the validation split has a hundredth of it.
        per_image: Targets of each image.
        size: Width and height of the images, pixels.
        seed: Of the masks.
        overwrite: Whether to replace a data set that is in ``out``.

    Raises:
        FileExistsError: If there is something in ``out``.
        ValueError: If a number is below 1.
    """
    for name, value in (('images', images), ('per_image', per_image)):
        if value < 1:
            raise ValueError(f'{name}: expected a number from 1 on, got {value}')
    shapes = make_shapes(size, seed)
    validation = max(1, images // VALIDATION_SHARE)
    with output_folder(out, overwrite) as folder:
        for split, number in (('train', images), ('val', validation)):
            _write_annotations(folder / 'annotations' / f'{split}.json', split, number, per_image, shapes)
        _link_images(folder / 'images', [_name('train', i) for i in range(images)], size)
        _link_images(folder / 'images', [_name('val', i) for i in range(validation)], size)


def _name(split: str, index: int) -> str:
    return f'{split}_{index:07d}.png'


def _write_annotations(path: Path, split: str, images: int, per_image: int, shapes: Shapes) -> None:
    """Written piece by piece: whole, it would need more memory than what is to be measured."""
    width, height = shapes.size
    ready = [_as_json(shapes, s) for s in range(SHAPES)]
    with path.open('w', encoding='utf-8') as file:
        extent = {'images': images, 'per_image': per_image, 'size': list(shapes.size)}
        file.write(f'{{"info":{json.dumps(extent)},"categories":{json.dumps(class_categories())},"images":[')
        for i in range(images):
            file.write(
                f'{"," if i else ""}{{"id":{i + 1},"file_name":"{_name(split, i)}","width":{width},"height":{height}}}'
            )
        file.write('],"annotations":[')
        for i in tqdm(range(images), desc=split, unit='image'):
            parts = []
            for k in range(per_image):
                n = i * per_image + k
                parts.append(
                    f'{{"id":{n + 1},"image_id":{i + 1},"category_id":{label_of(i, k) + 1},"iscrowd":0,'
                    f'{ready[n % SHAPES][n % 2]}}}'
                )
            file.write(('' if i == 0 else ',') + ','.join(parts))
        file.write(']}')


def _as_json(shapes: Shapes, s: int) -> tuple[str, str]:
    """The geometry of an annotation with a polygon, and with an RLE."""
    width, height = shapes.size
    common = f'"bbox":{shapes.boxes[s].tolist()},"area":{shapes.areas[s]},"segmentation":'
    return (
        f'{common}[{shapes.polygons[s].tolist()}]',
        f'{common}{{"size":[{height},{width}],"counts":{json.dumps(shapes.counts[s].decode())}}}',
    )


def label_of(image: int, target: int) -> int:
    """Label of a target, from its place and that of its image, from 0."""
    return (image + target) % len(CLASSES)


def _link_images(folder: Path, names: list[str], size: tuple[int, int]) -> None:
    step = max(-(-len(names) // LINKS), min(8, len(names)))  # different files
    for k in range(step):
        first, *others = (folder / name for name in names[k::step])
        cv2.imwrite(str(first), generate_scene(k, size).image8)
        for other in others:
            os.link(first, other)


def read_extent(folder: Path) -> tuple[int, int, tuple[int, int]]:
    """Images of the training split, targets of each, width and height; the annotations are not read."""
    with (folder / 'annotations' / 'train.json').open(encoding='utf-8') as file:
        start = file.read(1000)
    info, _ = json.JSONDecoder().raw_decode(start, start.index(':') + 1)
    return info['images'], info['per_image'], tuple(info['size'])


def detections(
    images: int, per_image: int, size: tuple[int, int], seed: int, batch: int = 100
) -> Iterator[list[dict]]:
    """What a model hands to the metric for the images of the training split, in batches.

    Every target is found a little aside; scores are random, and every tenth detection has a wrong label.

    Args:
        images: As for ``write_large_set``.
        per_image: See there; also the number of detections.
        size: See there.
        seed: See there.
        batch: Images of one batch.

    Yields:
        Data samples as dictionaries with ``img_id``, ``ori_shape`` and ``pred_instances``: ``bboxes`` ``[N, 4]``
        (corners in pixels), ``scores`` ``[N]``, ``labels`` ``[N]`` and ``masks`` (N compressed RLE).
    """
    shapes = make_shapes(size, seed)
    rng = np.random.default_rng(seed)
    for begin in range(0, images, batch):
        samples = []
        for i in range(begin, min(begin + batch, images)):
            numbers = np.arange(i * per_image, (i + 1) * per_image)
            which = numbers % SHAPES
            labels = [label_of(i, k + (n % 10 == 9)) for k, n in enumerate(numbers.tolist())]
            masks = [{'size': [size[1], size[0]], 'counts': bytes(bytearray(shapes.found_counts[s]))} for s in which]
            found = {
                'bboxes': torch.from_numpy(shapes.found_boxes[which]),
                'scores': torch.from_numpy(rng.random(per_image, np.float32)),
                'labels': torch.tensor(labels),
                'masks': masks,
            }
            samples.append({'img_id': i + 1, 'ori_shape': (size[1], size[0]), 'pred_instances': found})
        yield samples
