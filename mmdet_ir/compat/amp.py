"""Mixed precision in bfloat16, for devices that mmengine's AmpOptimWrapper refuses (CPU) or that prefer it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from torch import nn


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
