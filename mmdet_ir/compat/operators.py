"""Serves ``mmcv._ext`` from torchvision's kernels where mmcv comes without its compiled operators."""

import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

EXT_NAME = 'mmcv._ext'
STAND_IN = Path(__file__).with_name('mmcv_ext.py')


class StandInFinder(importlib.abc.MetaPathFinder):
    """Last on ``sys.meta_path``: answers for ``mmcv._ext`` only when no compiled one was found before."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname != EXT_NAME:
            return None
        return importlib.util.spec_from_file_location(EXT_NAME, STAND_IN)


def serve_operators() -> None:
    """Makes ``import mmcv._ext`` work with mmcv-lite. A full mmcv is found first and stays untouched."""
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())


def operator_backend() -> str:
    """Returns ``'mmcv'`` where mmcv's compiled operators are used and ``'torchvision'`` where the stand-in is."""
    spec = importlib.util.find_spec(EXT_NAME)
    return 'torchvision' if spec is not None and spec.origin == str(STAND_IN) else 'mmcv'
