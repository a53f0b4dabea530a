"""A few images of a COCO data set that are easy to learn: whole targets, none very small, nothing ignored."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ...datasets.coco_files import output_folder, refuse, write_coco
from ...datasets.images.infrared_io import read_infrared


@dataclass
class Crop:
    """A part of an image of a COCO data set.

    Attributes:
        image: Entry of ``images``.
        window: x1, y1, x2, y2 in whole pixels of the image; the upper ends are not part of it.
        annotations: Those of the targets inside.
    """

    image: dict
    window: tuple[int, int, int, int]
    annotations: list[dict]

    @property
    def categories(self) -> set[int]:
        return {annotation['category_id'] for annotation in self.annotations}


def _extent(annotation: dict) -> np.ndarray:
    """x1, y1, x2, y2 of box and polygons together, in pixels."""
    x, y, width, height = annotation['bbox']
    points = [(x, y), (x + width, y + height)]
    if isinstance(annotation.get('segmentation'), list):
        points += [point for polygon in annotation['segmentation'] for point in np.reshape(polygon, (-1, 2))]
    return np.concatenate([np.min(points, axis=0), np.max(points, axis=0)])


def uncut_crops(
    image: dict, annotations: list[dict], size: tuple[int, int], min_area: float, max_targets: int
) -> Iterator[Crop]:
    """Parts of an image that hold whole targets only: no cut, ignored, or very small ones.

    Args:
        image: Entry of ``images`` of a COCO file.
        annotations: All annotations of it.
        size: Width and height in pixels. An image that is no larger is taken as it is; else one window is tried
            around each target.
        min_area: Smallest area of a target in square pixels.
        max_targets: Largest number of targets.
    """
    width, height = min(size[0], image['width']), min(size[1], image['height'])
    extents = np.array([_extent(a) for a in annotations]).reshape(-1, 4)
    corners = (extents[:, :2] + extents[:, 2:] - (width, height)) / 2
    corners = np.clip(corners.round(), 0, (image['width'] - width, image['height'] - height)).astype(int)
    for x, y in np.unique(corners, axis=0).tolist():
        window = (x, y, x + width, y + height)
        inside = (extents[:, :2] >= window[:2]).all(1) & (extents[:, 2:] <= window[2:]).all(1)
        touching = (extents[:, :2] < window[2:]).all(1) & (extents[:, 2:] > window[:2]).all(1)
        # What leaves the image itself is not cut by the window.
        whole = (width, height) == (image['width'], image['height'])
        kept = [a for a, touches in zip(annotations, touching, strict=True) if touches]
        if (
            (whole or (inside == touching).all())
            and 0 < len(kept) <= max_targets
            and not any(a.get('iscrowd') or a.get('ignore') or a['area'] < min_area for a in kept)
        ):
            yield Crop(image, window, kept)


def choose_crops(
    coco: dict, count: int, size: tuple[int, int], min_area: float, max_targets: int, path: str | os.PathLike
) -> list[Crop]:
    """Crops of different images that between them show every class often, the same ones each time.

    Greedy: the next crop is the one with most classes that were shown seldom so far.

    Args:
        coco: COCO dictionary.
        count: Number of crops.
        size: See :func:`uncut_crops`, as are ``min_area`` and ``max_targets``.
        min_area: Smallest area of a target.
        max_targets: Largest number of targets of a crop.
        path: Where ``coco`` comes from, for the message.

    Raises:
        ValueError: If there are fewer such crops than asked for.
    """
    of_image: dict = {image['id']: [] for image in coco['images']}
    for annotation in coco['annotations']:
        of_image[annotation['image_id']].append(annotation)
    order = np.random.default_rng(0).permutation(len(coco['images']))  # neighbours in a clip look alike
    candidates = [
        crop
        for image in (coco['images'][i] for i in order)
        for crop in uncut_crops(image, of_image[image['id']], size, min_area, max_targets)
    ]
    shown = dict.fromkeys((category['id'] for category in coco['categories']), 0)

    def gain(crop: Crop) -> float:
        return sum((1 + shown[category]) ** -2 for category in crop.categories)

    chosen: list[Crop] = []
    while len(chosen) < count and candidates:
        best = max(candidates, key=gain)
        chosen.append(best)
        candidates = [crop for crop in candidates if crop.image is not best.image]
        for category in best.categories:
            shown[category] += 1
    if len(chosen) < count:
        raise ValueError(
            f'{path}: expected {count} images with up to {max_targets} uncut targets of {min_area:g} or more square '
            f'pixels at {size[0]}x{size[1]}, got {len(chosen)}'
        )
    return chosen


def _move_mask(segmentation: list | dict, window: tuple[int, int, int, int]) -> list | dict:
    """The mask in the frame of ``window``; polygons stay polygons, run-length encodings are cropped."""
    x1, y1, x2, y2 = window
    if isinstance(segmentation, list):
        return [(np.reshape(polygon, (-1, 2)) - (x1, y1)).ravel().tolist() for polygon in segmentation]
    if isinstance(segmentation['counts'], list):
        segmentation = mask_utils.frPyObjects(segmentation, *segmentation['size'])
    cropped = mask_utils.encode(np.asfortranarray(mask_utils.decode(segmentation)[y1:y2, x1:x2]))
    return {'size': cropped['size'], 'counts': cropped['counts'].decode()}


def write_crops(
    crops: list[Crop],
    categories: list[dict],
    image_folder: str | os.PathLike,
    out: Path,
    image_key: str = 'file_name',
) -> Path:
    """Writes a COCO data set of the crops, in place of the one that may be there.

    Args:
        crops: See :func:`choose_crops`.
        categories: Kept as they are.
        image_folder: Where the images are read from.
        out: Folder of the data set; gets ``annotations/train.json`` and ``images/``.
        image_key: Field of the images that names their files, as of the config's data set; the crops have
            ``file_name``.

    Returns:
        The annotation file.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If an image cannot be read, or ``out`` holds an image that is read.
    """
    images, annotations = [], []
    lacking = [crop.image['id'] for crop in crops if image_key not in crop.image]
    refuse('image_key', f'images lack the field "{image_key}"; image ids', lacking)
    read = [Path(image_folder, crop.image[image_key]) for crop in crops]
    with output_folder(out, overwrite=True, sources=read) as folder:
        for image_id, crop in enumerate(crops, start=1):
            source = Path(image_folder, crop.image[image_key])
            pixels = read_infrared(source, page=crop.image.get('page'))
            x1, y1, x2, y2 = crop.window
            cut = pixels[y1:y2, x1:x2]
            if cut.dtype.kind == 'f':
                name = f'{image_id:03d}.npy'
                np.save(folder / 'images' / name, cut)
            else:
                name = f'{image_id:03d}.png'
                cv2.imwrite(str(folder / 'images' / name), cut)
            images.append(
                {
                    'id': image_id,
                    'file_name': name,
                    'width': x2 - x1,
                    'height': y2 - y1,
                    'source': crop.image[image_key],
                    'window': crop.window,
                }
            )
            for annotation in crop.annotations:
                x, y, width, height = annotation['bbox']
                moved = {'id': len(annotations) + 1, 'image_id': image_id, 'bbox': [x - x1, y - y1, width, height]}
                if annotation.get('segmentation'):
                    moved['segmentation'] = _move_mask(annotation['segmentation'], crop.window)
                annotations.append({**annotation, **moved})
        coco = {'images': images, 'annotations': annotations, 'categories': categories}
        write_coco(coco, folder / 'annotations' / 'train.json')
    return out / 'annotations' / 'train.json'
