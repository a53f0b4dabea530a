"""SparseInst, in parts."""

from .decoder import InstanceBranch, MaskBranch, aggregate_instances
from .encoder import InstanceContextEncoder
from .head import SparseInstHead
from .matcher import SparseInstMatcher
from .sparseinst import SparseInst

__all__ = [
    'InstanceBranch',
    'InstanceContextEncoder',
    'MaskBranch',
    'SparseInst',
    'SparseInstHead',
    'SparseInstMatcher',
    'aggregate_instances',
]
