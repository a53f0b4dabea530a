"""Masks as annotation files have them: checked before anything is computed from them.

Coordinates are pixels with the origin at the image's top left corner; pixel ``(column i, row j)`` covers
``[i, i + 1] x [j, j + 1]``, as in COCO.
"""

from typing import NamedTuple

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ..derived_masks import outline_polygons, polygons_area
from ..validation.checks.rle import run_lengths
from .values import is_number


class Segmentation(NamedTuple):
    """COCO ``segmentation`` (polygons, or RLE where a mask has holes), area in pixels and box (xywh, pixels)."""

    segmentation: list[list[float]] | dict
    area: int
    box: list[float]


def is_numbers(values: object, length: int | None = None) -> bool:
    """Whether this is a list (of ``length``) of finite numbers."""
    return (
        isinstance(values, list | tuple)
        and (length is None or len(values) == length)
        and all(is_number(value) for value in values)
    )


def polygons_fault(polygons: object) -> str:
    """What is wrong with COCO polygons ``[[x0, y0, x1, y1, ...], ...]``; empty if nothing is."""
    if not isinstance(polygons, list) or not polygons:
        return 'no polygon'
    for polygon in polygons:
        if not is_numbers(polygon):
            return 'polygon that is not a list of finite numbers'
        if len(polygon) % 2:
            return 'polygon with an odd number of coordinates'
        if len(polygon) < 6:
            return 'polygon with fewer than 3 points'
    return ''


def decode_rle(rle: dict, width: int, height: int) -> np.ndarray:
    """Decode a COCO RLE, compressed (text) or not (list of runs).

    pycocotools does not check the runs: of an RLE that covers less than the image it returns memory as it finds it.

    Returns:
        ``[height, width]`` bool.

    Raises:
        ValueError: If size or runs do not fit the image. The message is the reason alone.
    """
    size, counts = rle.get('size'), rle.get('counts')
    if size != [height, width]:
        raise ValueError('RLE of another size than the image')
    runs, _, (good,) = run_lengths([counts.decode('latin-1') if isinstance(counts, bytes) else counts])
    if not good:
        raise ValueError('RLE whose counts are damaged, or no whole numbers from 0 on')
    if runs.sum() != width * height:
        raise ValueError('RLE whose runs do not add up to the image')
    return np.repeat(np.arange(len(runs)) % 2, runs).astype(bool).reshape(width, height).T


def leave_far(polygons: list[list[float]], width: int, height: int) -> bool:
    """Whether polygons leave the image by more than its size; not to be drawn.

    pycocotools walks along every edge, so that its memory and its time grow with the coordinates.
    """
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
    return bool((points < [-width, -height]).any() or (points > [2 * width, 2 * height]).any())


def to_segmentation(mask: list[list[float]] | np.ndarray, width: int, height: int, fill_holes: bool) -> Segmentation:
    """COCO fields of a mask.

    Polygons inside the image stay as they are; those that leave it are rasterised and outlined again. Of a bool mask
    (``[height, width]``) the polygons run along the pixels' edges and give back exactly its pixels; a mask with holes
    becomes RLE, as polygons cannot have holes, unless ``fill_holes`` fills them.

    Raises:
        ValueError: If no pixel is left. The message is the reason alone.
    """
    if isinstance(mask, list):
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in mask])
        low, high = points.min(axis=0), points.max(axis=0)
        if (low >= 0).all() and (high <= [width, height]).all():
            area = polygons_area(mask, (height, width))
            if not area:
                raise ValueError('mask without a pixel')
            return Segmentation(mask, area, [*low.tolist(), *(high - low).tolist()])
        if leave_far(mask, width, height):
            raise ValueError('polygon that leaves the image by more than its size')
        mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(mask, height, width))).astype(bool)
    if not mask.any():
        raise ValueError('mask without a pixel')
    box = [float(v) for v in cv2.boundingRect(mask.astype(np.uint8))]
    polygons = outline_polygons(mask)
    area, filled = int(mask.sum()), polygons_area(polygons, (height, width))
    if area == filled or fill_holes:
        return Segmentation(polygons, filled, box)
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return Segmentation({'size': [height, width], 'counts': rle['counts'].decode()}, area, box)
