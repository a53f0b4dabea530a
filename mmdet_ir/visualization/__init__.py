"""Draws arrays: masks over images, grids, curves, figures. Nothing here runs a model or reads a data set."""

from .grid import GridRow, draw_grid
from .overlay import draw_instances, find_instances
from .picture import as_picture

__all__ = ['GridRow', 'as_picture', 'draw_grid', 'draw_instances', 'find_instances']
