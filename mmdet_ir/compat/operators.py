"""Serves ``mmcv._ext`` from torchvision's kernels where mmcv's compiled operators are missing or wrong.

mmcv-lite has none. Those of a full mmcv are used on GPUs. For the CPU it has no sigmoid focal loss and no RoIPool, its
RoIAlign and deformable convolution refuse bfloat16, its soft NMS gives NaN for boxes without area, and its RoIAlign
reads features that are laid out channels-last as if they were not, without a word
(https://github.com/open-mmlab/mmcv/issues/2203). So there ours are used as well.
"""

import functools
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from torch import Tensor

EXT_NAME = 'mmcv._ext'
STAND_IN = Path(__file__).with_name('mmcv_ext.py')


class StandInFinder(importlib.abc.MetaPathFinder):
    """Last on ``sys.meta_path``: answers for ``mmcv._ext`` only when no compiled one was found before."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname != EXT_NAME:
            return None
        return importlib.util.spec_from_file_location(EXT_NAME, STAND_IN)


def serve_operators() -> None:
    """Makes ``import mmcv._ext`` work with mmcv-lite, and shares the work with the compiled one of a full mmcv."""
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())
    if operator_backend() == 'mmcv':
        share_operators(importlib.import_module(EXT_NAME))


def share_operators(ext: ModuleType) -> None:
    """Lets a compiled ``mmcv._ext`` answer with our operators on the CPU.

    What was there stays as ``compiled`` of the function in its place.

    Args:
        ext: Changed in place.
    """
    from . import mmcv_ext

    for name in mmcv_ext.__all__:
        setattr(ext, name, _by_device(getattr(mmcv_ext, name), getattr(ext, name)))


def _by_device(ours: Callable, compiled: Callable) -> Callable:
    """An operator whose first argument, an input, decides; what ours lacks (max pooling) is mmcv's everywhere."""

    @functools.wraps(ours)
    def operator(first: Tensor, *others: object, **settings: object) -> Tensor | None:
        if first.is_cpu:
            try:
                return ours(first, *others, **settings)
            except NotImplementedError:
                pass
        return compiled(first.contiguous(), *others, **settings)

    operator.compiled = compiled
    return operator


def operator_backend() -> str:
    """Returns ``'mmcv'`` where mmcv has compiled operators, and ``'torchvision'`` where the stand-in serves all."""
    spec = importlib.util.find_spec(EXT_NAME)
    return 'torchvision' if spec is not None and spec.origin == str(STAND_IN) else 'mmcv'
