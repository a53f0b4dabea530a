"""Mixed precision in bfloat16, for devices that mmengine's AmpOptimWrapper refuses (CPU) or that prefer it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from torch import nn
from torch.nn.functional import conv2d

MAX_SLOWDOWN = 1.5  # of bfloat16, up to which a CPU counts as having it


@cache
def bfloat16_slowdown() -> float:
    """How many times the time of float32 a training step of one convolution takes in bfloat16 on this CPU.

    Measured, in some milliseconds: what a processor has, what oneDNN was told to use (``ONEDNN_MAX_CPU_ISA``) and what
    it has a kernel for do not follow from a name. With instructions for bfloat16 about 0.6; without them 2, where
    oneDNN can emulate them (AVX-512), and 20 where it takes a plain loop. On one thread, so that other processes do
    not matter.

    Example:
        >>> bfloat16_slowdown() > 0
        True
    """
    images, kernels = torch.ones(2, 64, 32, 32), torch.ones(64, 64, 3, 3, requires_grad=True)  # (no random number)

    def step(dtype: torch.dtype) -> float:
        begin = time.perf_counter()
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            loss = conv2d(images, kernels, padding=1).float().mean()
        loss.backward()
        return time.perf_counter() - begin

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = [[step(dtype) for dtype in (torch.float32, torch.bfloat16)] for _ in range(6)]
    finally:
        torch.set_num_threads(threads)
    float32, bfloat16 = (min(column) for column in zip(*times, strict=True))
    return bfloat16 / float32


def _upcast_features(module: nn.Module, args: tuple) -> tuple:
    features, *rest = args
    return (tuple(level.float() for level in features), *rest)


def keep_rois_in_float32(model: nn.Module) -> None:
    """Gives the RoI extractors of a model float32 features under autocast, so that RoIs keep their coordinates."""
    # mmdet can be imported only after the operators are served, and this module is imported before.
    from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor

    for module in model.modules():
        if isinstance(module, BaseRoIExtractor):
            module.register_forward_pre_hook(_upcast_features)


class Bf16OptimWrapper(OptimWrapper):
    """OptimWrapper with autocast to bfloat16; its range is that of float32, so no loss scaling is needed.

    mmdet casts RoIs to the type of the features. bfloat16 has 8 significant bits: at x = 600 pixels a corner would
    move by up to 2 pixels. So the RoI extractors get float32 features here, and RoIs keep their coordinates.
    """

    _prepared: nn.Module | None = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        if self._prepared is not model:
            keep_rois_in_float32(model)
            self._prepared = model
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def register() -> None:
    OPTIM_WRAPPERS.register_module(module=Bf16OptimWrapper, force=True)
