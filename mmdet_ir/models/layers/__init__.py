from .bnsa import BNSA
from .squeeze_attention import SqueezeAttention

__all__ = ['BNSA', 'SqueezeAttention']
