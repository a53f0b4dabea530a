"""Data sets of infrared images: the set that trains, its transforms, converters, validation and synthetic scenes."""

from . import transforms
from .ir_dataset import IRDataset
from .transforms import LoadIRImageFromFile

__all__ = ['IRDataset', 'LoadIRImageFromFile', 'transforms']
