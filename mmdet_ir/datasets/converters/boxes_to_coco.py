"""Boxes inside their images, and the masks that are derived from them."""

import math

import numpy as np

from ..derived_masks import LOOSE, TIGHT, DerivedMask, box_corners, derive_box_mask, derive_threshold_mask
from .class_names import FOUR_CLASSES, class_of

FILLS_ITS_BOX = ('car',)  # classes whose mask is the oriented box; the others are thresholded inside it
LOOSE_BOXES = ('uav',)  # classes whose boxes leave a margin around the target
DERIVED = 'derived from boxes, not annotated: see mask_source and mask_method of each annotation'  # for "info"
MIN_SIDE = 1.0  # pixels; MMDetection drops smaller boxes too


def derive_mask(
    image: np.ndarray, corners: np.ndarray, box: list[float], name: str, fills_box: bool, occupied: np.ndarray
) -> DerivedMask | None:
    """Mask of one box by the rule of its class: the oriented box itself, or the pixels that differ from around it.

    Args:
        image: ``[H, W]`` 8-bit grey levels.
        corners: ``[4, 2]`` corners of the (oriented) box, pixels.
        box: xywh, pixels, inside the image.
        name: Class; by its usual names, see ``FOUR_CLASSES``.
        fills_box: Whether the mask is the oriented box, whatever the class, as of ignored regions.
        occupied: ``[H, W]`` bool, pixels of all boxes of the image.
    """
    name = class_of(name, FOUR_CLASSES)
    if fills_box or name in FILLS_ITS_BOX:
        return derive_box_mask(corners, box, image.shape)
    return derive_threshold_mask(image, corners, box, occupied, LOOSE if name in LOOSE_BOXES else TIGHT)


def occupied_pixels(boxes: list[list[float]], image_size: tuple[int, int]) -> np.ndarray:
    """``[H, W]`` bool: pixels that one of the xywh boxes touches."""
    occupied = np.zeros(image_size, bool)
    for x, y, w, h in boxes:
        occupied[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = True
    return occupied


def turn_box(box: list[float], degrees: float) -> tuple[list[float], np.ndarray]:
    """An xywh box that is turned clockwise about its centre: xywh of its envelope, and its corners ``[4, 2]``."""
    x, y, w, h = box
    corners = box_corners(x + w / 2, y + h / 2, w, h, math.radians(degrees))
    return envelope(corners), corners


def envelope(points: np.ndarray) -> list[float]:
    """The smallest upright box (xywh) around points ``[N, 2]``."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def clip_box(box: list[float], width: int, height: int) -> list[float]:
    """Cut an xywh box to an image; width and height are 0 where nothing is left."""
    x0, x1 = np.clip([box[0], box[0] + box[2]], 0, width)
    y0, y1 = np.clip([box[1], box[1] + box[3]], 0, height)
    return [round(float(v), 4) for v in (x0, y0, max(x1 - x0, 0), max(y1 - y0, 0))]
