from .ir_dataset import IRDataset
from .loading import LoadIRImageFromFile

__all__ = ['IRDataset', 'LoadIRImageFromFile']
