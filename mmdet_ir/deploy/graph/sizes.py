"""Image sizes in a graph: ``int``, ``torch.SymInt`` (torch.export) or a tensor without axes (torch.jit.trace)."""

import torch
from torch import Tensor

Size = int | torch.SymInt | Tensor


def least(first: Size, second: Size) -> Size:
    """The smaller of two sizes."""
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return torch.minimum(torch.as_tensor(first), torch.as_tensor(second))
    return torch.sym_min(first, second)


def greatest(first: Size, second: Size) -> Size:
    """The larger of two sizes."""
    return -least(-first, -second)


def as_tensor(size: Size, like: Tensor) -> Tensor:
    """A tensor without axes, like ``like``; ``torch.as_tensor`` would make a constant of a ``SymInt``."""
    if isinstance(size, Tensor):
        return size.to(like)
    return torch.full((), size, dtype=like.dtype, device=like.device)
