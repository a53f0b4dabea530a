from . import transforms
from .ir_dataset import IRDataset
from .transforms import LoadIRImageFromFile

__all__ = ['IRDataset', 'LoadIRImageFromFile', 'transforms']
