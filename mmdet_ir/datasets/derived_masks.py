"""Instance masks derived from boxes, for infrared releases that come with boxes only.

A derived mask is an estimate, never ground truth: every annotation made here carries ``mask_source = 'derived'``
and ``mask_method``, one of ``METHODS``.

Coordinates are pixels with the origin at the image's top left corner; pixel ``(column i, row j)`` covers
``[i, i + 1] x [j, j + 1]``, as in COCO.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from pycocotools import mask as mask_utils
from scipy.ndimage import binary_fill_holes

METHODS = ('oriented_box', 'threshold', 'ellipse')

RING_START = 1.1  # the ring of surroundings, relative to the box: from here ...
RING_SCALE, RING_MARGIN = 1.6, 3.0  # ... to here, plus these pixels
MIN_CONTRAST = 4.0  # grey levels over the surroundings; less is noise
CENTRE_SHARE = 0.5  # what is kept touches the ellipse that spans this share of the box


class BoxFit(NamedTuple):
    """What part of its box a target can plausibly have: of the area, of the shorter span, of the longer span."""

    min_fill: float
    max_fill: float
    min_width: float
    min_length: float


TIGHT = BoxFit(min_fill=0.15, max_fill=0.85, min_width=0.35, min_length=0.6)
LOOSE = BoxFit(min_fill=0.02, max_fill=0.85, min_width=0.1, min_length=0.2)


class DerivedMask(NamedTuple):
    """Polygons ``[[x0, y0, x1, y1, ...], ...]`` in pixels, their area in pixels, one of ``METHODS``."""

    polygons: list[list[float]]
    area: int
    method: str


def box_corners(cx: float, cy: float, width: float, height: float, angle: float = 0.0) -> np.ndarray:
    """Corners ``[4, 2]`` (x, y) of a box turned by ``angle`` radians about its centre, from the x to the y axis."""
    axis_x = np.array([math.cos(angle), math.sin(angle)]) * width / 2
    axis_y = np.array([-math.sin(angle), math.cos(angle)]) * height / 2
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return np.array([cx, cy]) + signs[:, :1] * axis_x + signs[:, 1:] * axis_y


def derive_box_mask(corners: np.ndarray, bbox: tuple[float, float, float, float], image_size: tuple[int, int]):
    """Mask of a target that fills its oriented box, such as a car seen from above.

    Args:
        corners: ``[4, 2]`` corners of the oriented box.
        bbox: Annotated box, xywh; the mask is cut to it.
        image_size: Height and width.

    Returns:
        A ``DerivedMask``, or None if nothing of the oriented box lies inside ``bbox``.
    """
    return _from_convex(corners, bbox, image_size, 'oriented_box')


def derive_threshold_mask(
    image: np.ndarray,
    corners: np.ndarray,
    bbox: tuple[float, float, float, float],
    occupied: np.ndarray | None = None,
    fit: BoxFit = TIGHT,
) -> DerivedMask | None:
    """Mask of a target that differs in temperature from its surroundings.

    The contrast is the grey level over that of a ring around the box, its polarity (target hotter or colder) that of
    the strongest pixels inside, the threshold Otsu's inside the box. Components that touch the centre are kept and
    their holes filled. Where the result is implausible (too little contrast, too little or too much of the box), the
    ellipse inscribed in the oriented box takes its place.

    Args:
        image: ``[H, W]`` 8-bit grey levels.
        corners: ``[4, 2]`` corners of the (oriented) box.
        bbox: Annotated box, xywh; the mask is cut to it.
        occupied: ``[H, W]`` bool, pixels of all annotated boxes, which are left out of the ring; optional.
        fit: How closely the boxes fit; decides what is plausible.

    Returns:
        A ``DerivedMask`` with method ``'threshold'`` or ``'ellipse'``, or None if the box is too small for either.
    """
    mask = _threshold(image, corners, bbox, occupied, fit)
    if mask is None:
        return derive_ellipse_mask(corners, bbox, image.shape)
    polygons = outline_polygons(mask)
    return DerivedMask(polygons, polygons_area(polygons, image.shape), 'threshold')


def derive_ellipse_mask(corners: np.ndarray, bbox: tuple[float, float, float, float], image_size: tuple[int, int]):
    """The ellipse inscribed in an oriented box; arguments and result as those of ``derive_box_mask``."""
    return _from_convex(_ellipse(corners), bbox, image_size, 'ellipse')


def outline_polygons(mask: np.ndarray) -> list[list[float]]:
    """Outer outlines of a ``[H, W]`` bool mask along the pixels' edges.

    Rasterised by pycocotools they give back the mask exactly, holes filled (4-connected components).
    """
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    doubled = np.kron(mask[y : y + height, x : x + width].astype(np.uint8), np.ones((2, 2), np.uint8))
    count, labels = cv2.connectedComponents(doubled, connectivity=4)
    polygons = []
    for label in range(1, count):
        part = (labels == label).astype(np.uint8)
        contour = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0][:, 0]
        # In the doubled grid a pixel's near edge has an even, its far edge an odd coordinate.
        points = (contour + 1) // 2 + [x, y]
        points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
        straight = (np.roll(points, 1, axis=0) - points) == (points - np.roll(points, -1, axis=0))
        polygons.append(points[~straight.all(axis=1)].astype(float).ravel().tolist())
    return polygons


def polygons_area(polygons: list[list[float]], image_size: tuple[int, int]) -> int:
    """Pixels of the union of polygons as pycocotools rasterises them in an image of ``image_size`` (H, W)."""
    height, width = image_size[:2]
    return int(mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))))


def _threshold(image, corners, bbox, occupied, fit: BoxFit) -> np.ndarray | None:
    """``[H, W]`` bool mask, or None if a threshold gives nothing plausible."""
    centre = corners.mean(axis=0)
    half_x, half_y = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    sides = 2 * np.linalg.norm([half_x, half_y], axis=1)
    reach = RING_SCALE + 2 * RING_MARGIN / sides  # of the ring, in half sides
    outer = centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach @ np.stack([half_x, half_y])
    # Work in the window that holds the ring.
    height, width = image.shape
    x0, y0 = np.clip(np.floor(outer.min(axis=0)), 0, [width, height]).astype(int)
    x1, y1 = np.clip(np.ceil(outer.max(axis=0)), 0, [width, height]).astype(int)
    window = image[y0:y1, x0:x1].astype(np.float64)
    rows, columns = np.mgrid[y0:y1, x0:x1] + 0.5

    # Position of the pixels' centres relative to the box, in half sides.
    points = np.stack([columns, rows], axis=-1) - centre
    u, v = points @ half_x / (half_x @ half_x), points @ half_y / (half_y @ half_y)
    bx, by, bw, bh = bbox
    in_bbox = (columns > bx) & (columns < bx + bw) & (rows > by) & (rows < by + bh)
    inside = (np.abs(u) <= 1) & (np.abs(v) <= 1) & in_bbox
    middle = (u**2 + v**2 <= CENTRE_SHARE**2) & inside
    around = (np.abs(u) <= reach[0]) & (np.abs(v) <= reach[1]) & (np.maximum(np.abs(u), np.abs(v)) > RING_START)
    ring = around & ~occupied[y0:y1, x0:x1] if occupied is not None else around
    if ring.sum() < inside.sum() / 4:
        ring = around
    if not middle.any() or ring.sum() < 3:
        return None

    # Contrast to the surroundings: a plane fitted to the ring, without what stands out there itself.
    plane = np.stack([u, v, np.ones_like(u)], axis=-1)
    level = np.median(window[ring])
    calm = ring & (np.abs(window - level) <= 2 * np.median(np.abs(window[ring] - level)) + 1)
    contrast = window - plane @ np.linalg.lstsq(plane[calm], window[calm], rcond=None)[0]
    if np.mean(contrast[inside] ** 3) < 0:  # the cube: few strong pixels count for more than many weak ones
        contrast = -contrast
    levels = np.clip(contrast[inside], 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[None], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    target = inside & (contrast > max(threshold, MIN_CONTRAST))
    _, labels = cv2.connectedComponents(target.astype(np.uint8), connectivity=4)
    kept = np.setdiff1d(labels[middle], [0])
    target = binary_fill_holes(np.isin(labels, kept))
    if not target.any():
        return None
    fill = target.sum() / inside.sum()
    extents = [(np.ptp(t[target]) / 2 + 1 / side) for t, side in ((u, sides[0]), (v, sides[1]))]
    if not fit.min_fill <= fill <= fit.max_fill or min(extents) < fit.min_width or max(extents) < fit.min_length:
        return None
    mask = np.zeros(image.shape, bool)
    mask[y0:y1, x0:x1] = target
    return mask


def _ellipse(corners: np.ndarray, points: int = 24) -> np.ndarray:
    """``[points, 2]`` polygon of the ellipse inscribed in a (turned) box, of the ellipse's own area."""
    angles = np.arange(points) * 2 * math.pi / points
    # A regular n-gon in the unit circle has area n/2 sin(2 pi/n); scale it to pi.
    scale = math.sqrt(2 * math.pi / (points * math.sin(2 * math.pi / points)))
    half_x, half_y = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    return corners.mean(axis=0) + scale * (np.cos(angles)[:, None] * half_x + np.sin(angles)[:, None] * half_y)


def _from_convex(polygon: np.ndarray, bbox, image_size, method: str) -> DerivedMask | None:
    """Cut a convex polygon ``[N, 2]`` to ``bbox`` (xywh)."""
    x, y, w, h = bbox
    frame = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)
    _, cut = cv2.intersectConvexConvex(polygon.astype(np.float32), frame)
    if cut is None or len(cut) < 3:
        return None
    cut = np.clip(cut[:, 0].round(2), [x, y], [x + w, y + h])
    polygons = [cut.astype(float).round(2).ravel().tolist()]
    area = polygons_area(polygons, image_size)
    return DerivedMask(polygons, area, method) if area > 0 else None
