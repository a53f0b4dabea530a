from .grid import GridRow, draw_grid, draw_predictions, select_images
from .hook import IRVisualizationHook
from .picture import as_picture
from .tone_mapping import draw_tone_mappings

__all__ = [
    'GridRow',
    'IRVisualizationHook',
    'as_picture',
    'draw_grid',
    'draw_predictions',
    'draw_tone_mappings',
    'select_images',
]
