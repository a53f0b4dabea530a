"""Prepares the package when it is first used, not when it is imported; and finds modules that moved."""

import copy
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

LIBRARIES = ('mmengine', 'mmcv', 'mmdet')
# Rooms that need nothing prepared: they import no library that takes seconds.
LIGHT = ('cli', 'fileio', 'late', 'markdown', 'model_zoo', 'threads', 'version')
PACKAGE = __package__
# Modules that moved, which configs and notebooks may name by where they were in version 0.1.
FORMER = {
    'mmdet_ir.apis.inferencer': 'mmdet_ir.apis.inference.inferencer',
    'mmdet_ir.datasets.infrared_io': 'mmdet_ir.datasets.images.infrared_io',
    'mmdet_ir.datasets.loading': 'mmdet_ir.datasets.transforms.loading',
    'mmdet_ir.experiments.environment': 'mmdet_ir.engine.environment',
    'mmdet_ir.models.tta': 'mmdet_ir.models.test_time_augs.tta',
    'mmdet_ir.visualization.hook': 'mmdet_ir.engine.visualization_hook',
}


class _Ready:
    """Loader of a module that was imported while it was looked for."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _FormerPlaces:
    """Finds a module that moved, under the name that it had."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        place = FORMER.get(name)
        return importlib.machinery.ModuleSpec(name, _Ready(importlib.import_module(place))) if place else None


class _Finder:
    """Finds nothing; it notices what is imported first, and prepares before that."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        self.prepare, self.busy = prepare, False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        first, _, rest = name.partition('.')
        own = first == PACKAGE and rest and rest.split('.')[0] not in LIGHT
        if self.busy or not (own or name in LIBRARIES):
            return None
        self.busy = True
        try:
            self.prepare()
        finally:
            self.busy = False
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        module = sys.modules.get(name)
        if module is None:
            return None
        spec = copy.copy(module.__spec__)
        spec.loader = _Ready(module)
        module.__spec__ = spec  # (what Python takes for a module that was imported meanwhile; the loader puts it back)
        return spec


def prepare_with_first_use(prepare: Callable[[], None]) -> None:
    """Calls a function before the first import of one of ``LIBRARIES`` or of a room of the package that needs it.

    Where a library was imported already, that is now.

    Args:
        prepare: Imports what it likes; called once, unless it fails.
    """
    sys.meta_path.append(_FormerPlaces())
    if any(name in sys.modules for name in LIBRARIES):
        prepare()
    else:
        sys.meta_path.insert(0, _Finder(prepare))
