"""Checkpoints load and resume under ``weights_only=True``, through an allow-list of plain data types."""

import _codecs
import collections

import numpy as np
import torch


def allow_checkpoint_types() -> None:
    from mmengine.logging.history_buffer import HistoryBuffer

    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    names = [HistoryBuffer, np.ndarray, np.dtype, _codecs.encode, collections.deque, collections.defaultdict]
    names += [type(np.dtype(code)) for code in '?bhilqBHILQefdgFDGSUOMm']
    for module in ('numpy._core.multiarray', 'numpy.core.multiarray'):
        names += [(multiarray._reconstruct, f'{module}._reconstruct'), (multiarray.scalar, f'{module}.scalar')]
    torch.serialization.add_safe_globals(list(dict.fromkeys(names)))


def guard_checkpoint_loading() -> None:
    pass
