"""BoxInst for infrared images: pairwise supervision by the contrast of each box."""

from .data_preprocessor import InfraredBoxInstDataPreprocessor, pairwise_edges

__all__ = ['InfraredBoxInstDataPreprocessor', 'pairwise_edges']
