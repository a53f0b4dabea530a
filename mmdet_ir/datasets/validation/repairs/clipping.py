"""Polygons inside their image."""

import numpy as np
import shapely


def clip_polygons(polygons: list[list[float]], width: float, height: float) -> list[list[float]]:
    """Cut polygons at the borders of an image.

    Args:
        polygons: ``[x1, y1, x2, y2, ...]`` each, in pixels; well-formed.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        The parts inside, of which a polygon that leaves the image twice has several, and one that crosses itself one
        for each loop; a hole is joined to its outline by a bridge. None if nothing is inside.
    """
    rings = np.array([shapely.Polygon(np.reshape(np.asarray(polygon, float), (-1, 2))) for polygon in polygons])
    # (cutting what crosses itself is not defined; this makes the loops polygons, filled as a mask is drawn)
    inside = shapely.intersection(shapely.make_valid(rings), shapely.box(0, 0, width, height))
    parts = shapely.get_parts(shapely.get_parts(inside))
    parts = [part for part in parts if part.geom_type == 'Polygon' and not part.is_empty]  # (else lines and points)
    return [_outline(part).round(6).ravel().tolist() for part in parts]


def _outline(part: shapely.Polygon) -> np.ndarray:
    """One ring ``[K, 2]``: around the part, and over a bridge around each of its holes."""
    ring = shapely.get_coordinates(part.exterior)
    if not part.interiors:
        return ring[:-1]
    return np.vstack([ring, *(np.vstack([shapely.get_coordinates(hole), ring[:1]]) for hole in part.interiors)])
