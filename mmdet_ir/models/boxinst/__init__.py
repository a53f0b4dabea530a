from .data_preprocessor import InfraredBoxInstDataPreprocessor, pairwise_edges

__all__ = ['InfraredBoxInstDataPreprocessor', 'pairwise_edges']
