"""Plugin layers: the paper's BNSA and the SA that it is made from."""

from .bnsa import BNSA
from .squeeze_attention import SqueezeAttention

__all__ = ['BNSA', 'SqueezeAttention']
