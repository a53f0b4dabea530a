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

RING_SCALE = 1.6  # the background ring reaches this far, relative to the box ...
RING_MARGIN = 3.0  # ... plus this many pixels
MIN_CONTRAST = 4.0  # grey levels between target and ring below which a threshold only finds noise
MIN_FILL, MAX_FILL = 0.15, 0.85  # plausible share of the box that a target fills
MIN_EXTENT = 0.5  # plausible share of the box's width and height that a target spans
CENTRE_SHARE = 0.5  # components must touch the ellipse of this share of the box


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
) -> DerivedMask | None:
    """Mask of a target that differs in temperature from its surroundings.

    The polarity (target hotter or colder) comes from the box's centre against a ring around the box, the threshold
    from Otsu's method over box and ring. Components that touch the centre are kept and their holes filled. Where the
    result is implausible (too little contrast, fills or spans too little or too much of the box), the ellipse
    inscribed in the oriented box takes its place.

    Args:
        image: ``[H, W]`` 8-bit grey levels.
        corners: ``[4, 2]`` corners of the (oriented) box.
        bbox: Annotated box, xywh; the mask is cut to it.
        occupied: ``[H, W]`` bool, pixels of all annotated boxes, which are left out of the ring; optional.

    Returns:
        A ``DerivedMask`` with method ``'threshold'`` or ``'ellipse'``, or None if the box is too small for either.
    """
    mask = _threshold(image, corners, bbox, occupied)
    if mask is None:
        return _from_convex(_ellipse(corners), bbox, image.shape, 'ellipse')
    polygons = outline_polygons(mask)
    return DerivedMask(polygons, polygons_area(polygons, image.shape), 'threshold')


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


def _threshold(image, corners, bbox, occupied) -> np.ndarray | None:
    """``[H, W]`` bool mask, or None if a threshold gives nothing plausible."""
    centre = corners.mean(axis=0)
    sides = np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[2] - corners[1])
    outer = centre + (corners - centre) * (RING_SCALE + 2 * RING_MARGIN / max(min(sides), 1.0))
    # Work in the window that holds the ring.
    height, width = image.shape
    x0, y0 = np.clip(np.floor(outer.min(axis=0)), 0, [width, height]).astype(int)
    x1, y1 = np.clip(np.ceil(outer.max(axis=0)), 0, [width, height]).astype(int)
    window = image[y0:y1, x0:x1].astype(np.float32)
    rows, columns = np.mgrid[y0:y1, x0:x1] + 0.5
    points = np.stack([columns, rows], axis=-1)

    # Position inside the box in units of its half sides.
    half_x, half_y = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    u = (points - centre) @ half_x / (half_x @ half_x)
    v = (points - centre) @ half_y / (half_y @ half_y)
    bx, by, bw, bh = bbox
    in_bbox = (columns > bx) & (columns < bx + bw) & (rows > by) & (rows < by + bh)
    inside = (np.abs(u) <= 1) & (np.abs(v) <= 1) & in_bbox
    middle = (u**2 + v**2 <= CENTRE_SHARE**2) & inside
    reach_x = RING_SCALE + 2 * RING_MARGIN / sides[0]
    reach_y = RING_SCALE + 2 * RING_MARGIN / sides[1]
    around = (np.abs(u) <= reach_x) & (np.abs(v) <= reach_y) & ~((np.abs(u) <= 1.1) & (np.abs(v) <= 1.1))
    ring = around & ~occupied[y0:y1, x0:x1] if occupied is not None else around
    if ring.sum() < inside.sum() / 4:
        ring = around
    if not middle.any() or not ring.any():
        return None

    polarity = 1 if window[middle].mean() >= np.median(window[ring]) else -1
    levels = np.concatenate([window[inside], window[ring]]).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[None], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    target = inside & ((window > threshold) if polarity > 0 else (window <= threshold))
    _, labels = cv2.connectedComponents(target.astype(np.uint8), connectivity=4)
    kept = np.setdiff1d(labels[middle], [0])
    target = binary_fill_holes(np.isin(labels, kept))
    if not target.any():
        return None
    if abs(window[target].mean() - np.median(window[ring])) < MIN_CONTRAST:
        return None
    fill = target.sum() / inside.sum()
    extent = min(np.ptp(u[target]), np.ptp(v[target])) / 2
    if not MIN_FILL <= fill <= MAX_FILL or extent < MIN_EXTENT:
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
