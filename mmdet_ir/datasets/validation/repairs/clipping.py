"""Polygons inside their image."""

import numpy as np


def clip_polygons(polygons: list[list[float]], width: float, height: float) -> list[list[float]]:
    """Cut polygons at the borders of an image, side by side (Sutherland and Hodgman, CACM 17(1), 1974).

    A polygon that is not convex may get sides that run along the border in both directions; they enclose no pixel.

    Args:
        polygons: ``[x1, y1, x2, y2, ...]`` each, in pixels; well-formed.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        The parts inside; polygons without an area inside are left out.
    """
    clipped = []
    for polygon in polygons:
        ring = np.reshape(np.asarray(polygon, float), (-1, 2))
        for axis, end in enumerate((width, height)):
            ring = _clip_side(ring, axis, 0.0, 1.0)
            ring = _clip_side(ring, axis, float(end), -1.0)
        if len(ring) >= 3 and np.ptp(ring, axis=0).min() > 0:
            clipped.append(ring.round(6).ravel().tolist())
    return clipped


def _clip_side(ring: np.ndarray, axis: int, border: float, sign: float) -> np.ndarray:
    """The part of a ring ``[K, 2]`` on one side of a border: ``sign * (coordinate - border) >= 0``."""
    depth = sign * (ring[:, axis] - border)
    kept = []
    for i in range(len(ring)):
        before = i - 1
        if (depth[i] >= 0) != (depth[before] >= 0):
            share = depth[before] / (depth[before] - depth[i])
            crossing = ring[before] + share * (ring[i] - ring[before])
            crossing[axis] = border
            kept.append(crossing)
        if depth[i] >= 0:
            kept.append(ring[i])
    return np.array(kept).reshape(-1, 2)
