"""Lets stock mmengine, mmcv and mmdet run on current PyTorch. Nothing outside this folder may patch them."""

import functools

from .checkpoint import allow_checkpoint_types, guard_checkpoint_loading
from .operators import operator_backend, serve_operators

__all__ = ['apply', 'operator_backend']


@functools.cache
def apply() -> None:
    """Prepares this process; safe to call more than once."""
    serve_operators()
    allow_checkpoint_types()
    guard_checkpoint_loading()
