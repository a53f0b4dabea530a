from .ir_dataset import IRDataset

__all__ = ['IRDataset']
