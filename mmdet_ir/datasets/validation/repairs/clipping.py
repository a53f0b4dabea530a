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
        The parts inside, of which a polygon that leaves the image twice has several.
    """
    rings = [np.reshape(np.asarray(polygon, float), (-1, 2)) for polygon in polygons]
    inside = shapely.clip_by_rect(np.array([shapely.Polygon(ring) for ring in rings]), 0, 0, width, height)
    parts = [part for part in shapely.get_parts(inside) if part.geom_type == 'Polygon']  # (else lines and points)
    return [shapely.get_coordinates(part.exterior)[:-1].round(6).ravel().tolist() for part in parts]
