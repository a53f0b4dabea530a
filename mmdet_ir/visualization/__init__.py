from .grid import GridRow, draw_grid, draw_predictions, select_images

__all__ = ['GridRow', 'draw_grid', 'draw_predictions', 'select_images']
