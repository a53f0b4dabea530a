"""What several parts of the models need."""

import torch
from torch import Tensor


def to_full_precision(x: Tensor) -> Tensor:
    """Upcasts half and bfloat16 to float32; float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
