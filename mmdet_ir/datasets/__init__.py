from . import transforms
from .ir_dataset import IRDataset
from .loading import LoadIRImageFromFile

__all__ = ['IRDataset', 'LoadIRImageFromFile', 'transforms']
