"""Synthetic infrared scenes with exact instance masks. Needs NumPy, OpenCV and pycocotools only."""

from ...cli.choices import CLASSES
from ..sensor import SensorSettings, stretch, to_counts
from .scene import Scene, generate_scene
from .writer import contact_sheet, synthesize

__all__ = [
    'CLASSES',
    'Scene',
    'SensorSettings',
    'contact_sheet',
    'generate_scene',
    'stretch',
    'synthesize',
    'to_counts',
]
