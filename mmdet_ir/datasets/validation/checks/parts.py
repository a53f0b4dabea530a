"""Masks of several polygons: what they cover together, and holes that were written as polygons.

COCO's polygons have no holes: pycocotools merges all polygons of a target, so that a ring written as an outer and an
inner polygon is filled. Some tools write rings so all the same; the ``area`` beside them tells what was meant.
"""

import math
from typing import NamedTuple

import numpy as np
from pycocotools import mask as mask_utils

from ..problem import Problem, listed
from .masks import Masks
from .table import AnnotationTable

_MOST = 50_000_000  # pixels of all parts of one mask that are drawn at once


class Parts(NamedTuple):
    """One mask of several polygons, in pixels.

    Attributes:
        union: What all polygons cover, which is the mask in training and evaluation.
        even_odd: What an odd number of polygons covers: the mask if polygons within others are holes.
        nested: Whether a polygon lies within another one.
    """

    union: int
    even_odd: int
    nested: bool


def measure_parts(masks: Masks, size: np.ndarray, chosen: np.ndarray | None = None) -> dict[int, Parts]:
    """Measure the masks whose polygons may overlap, by their position.

    Args:
        masks: Parsed masks; those that are not good are left out.
        size: ``[N, 2]``, width and height of their images, NaN if unknown.
        chosen: ``[N]``, which masks to look at; all without it.
    """
    found = {}
    several = np.bincount(masks.owner, minlength=len(masks.kind)) > 1
    several &= masks.good if chosen is None else masks.good & chosen
    if not several.any():
        return found
    first = np.searchsorted(masks.ring_of, np.arange(len(masks.owner) + 1))
    rings_of = np.searchsorted(masks.owner, np.arange(len(masks.kind) + 1))  # owners ascend
    for i in np.flatnonzero(several).tolist():
        rings = [masks.rings[first[k] : first[k + 1]] for k in range(rings_of[i], rings_of[i + 1])]
        if _boxes_overlap(rings):
            found[i] = _measure(rings, *size[i])
    return found


def hole_mask(polygons: list[list[float]], area: object, width: int, height: int) -> np.ndarray | None:
    """``[height, width]`` bool, the mask with its holes, if ``area`` shows that polygons within others are holes.

    Args:
        polygons: Well-formed COCO polygons.
        area: What the annotation says, in pixels.
        width: Of the image.
        height: Of the image.
    """
    rings = [np.reshape(polygon, (-1, 2)) for polygon in polygons]
    if len(rings) < 2 or not isinstance(area, int | float) or not _boxes_overlap(rings):
        return None
    if not shows_hole(area, _measure(rings, width, height)):
        return None
    mask = np.zeros((height, width), bool)
    for polygon in polygons:
        mask ^= _draw([polygon], height, width)[..., 0].astype(bool)
    return mask


def shows_hole(area: float, parts: Parts) -> bool:
    """Whether an area is that of a mask with holes rather than that of a filled one."""
    apart = abs(area - parts.even_odd)
    return parts.nested and apart < abs(area - parts.union) and apart <= 1 + 0.05 * parts.even_odd


def _boxes_overlap(rings: list[np.ndarray]) -> bool:
    """Whether the boxes of two of the polygons overlap."""
    low = np.array([ring.min(axis=0) for ring in rings])
    high = np.array([ring.max(axis=0) for ring in rings])
    order = np.argsort(low[:, 0])
    low, high = low[order], high[order]
    for k in range(len(rings) - 1):
        near = k + 1 + np.flatnonzero(low[k + 1 :, 0] < high[k, 0])
        if ((low[near, 1] < high[k, 1]) & (high[near, 1] > low[k, 1])).any():
            return True
    return False


def _measure(rings: list[np.ndarray], width: float, height: float) -> Parts:
    points = np.concatenate(rings)
    x0, y0 = np.maximum(np.floor(points.min(axis=0)), 0)
    x1, y1 = np.fmin(np.ceil(points.max(axis=0)), [width, height])  # (NaN counts as no bound)
    w, h = max(int(x1 - x0), 0), max(int(y1 - y0), 0)
    polygons = [(ring - [x0, y0]).ravel().tolist() for ring in rings]  # by whole pixels: the same pixels
    if not w * h:
        return Parts(0, 0, False)
    if w * h * len(rings) > _MOST:
        union = int(mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(polygons, h, w))))
        return Parts(union, union, False)
    drawn = _draw(polygons, h, w).reshape(w * h, len(rings))
    count = drawn.sum(axis=1)
    union, even_odd = int((count > 0).sum()), int((count % 2).sum())
    # Within another one: all its pixels are that one's as well, which has more.
    common = drawn.T.astype(np.float32) @ drawn.astype(np.float32)
    own = common.diagonal()
    within = (common == own[:, None]) & (own[:, None] < own[None, :]) & (own[:, None] > 0)
    return Parts(union, even_odd, bool(within.any()))


def _draw(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """``[height, width, R]``, 1 in the pixels of each polygon."""
    return mask_utils.decode(mask_utils.frPyObjects(polygons, height, width))


def part_areas(masks: Masks, parts: dict[int, Parts], area: np.ndarray) -> np.ndarray:
    """``[N]``, the area that each mask should have beside it, in pixels.

    Args:
        masks: Parsed masks.
        parts: Those of several polygons.
        area: ``[N]``, the areas that are written; where such an area shows a hole, it is right.
    """
    areas = masks.area.copy()
    for i, measured in parts.items():
        hole = math.isfinite(area[i]) and shows_hole(area[i], measured)
        areas[i] = measured.even_odd if hole else measured.union
    return areas


def check_holes(table: AnnotationTable, parts: dict[int, Parts]) -> list[Problem]:
    """Polygons within another polygon of their target."""
    nested = [i for i, measured in parts.items() if measured.nested]
    return listed(
        'polygon-hole',
        'warning',
        'annotations have a polygon within another one: if it is a hole, it is filled, since polygons have no holes '
        'in COCO; ids',
        table.ids_of(np.array(nested, np.int64)),
        'annotation',
        'write a mask with holes as RLE (its area shows whether a hole is meant), else delete the inner polygon',
        True,
    )
