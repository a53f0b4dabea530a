"""The package is prepared with the first use of a library or room; nothing is imported twice by that."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, sys
import mmdet_ir
assert 'torch' not in sys.modules
finder, seen = sys.meta_path[0], {}
prepare = finder.prepare
finder.prepare = lambda: (prepare(), seen.update(sys.modules))
module = importlib.import_module(sys.argv[1])
own = ('mmcv', 'mmengine', 'mmdet', 'mmdet_ir')
again = [name for name, known in seen.items() if name.partition('.')[0] in own and sys.modules[name] is not known]
import mmcv, mmdet.models
print(again, type(module.__spec__.loader).__name__, mmcv.ops.nms.__module__, mmdet.models.detectors.__name__)
"""


@pytest.mark.parametrize('first', ['mmcv', 'mmengine', 'mmdet', 'mmdet_ir.models', 'mmdet_ir.datasets.transforms'])
def test_nothing_is_imported_twice(first: str) -> None:
    done = subprocess.run([sys.executable, '-c', PROGRAM, first], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ['[]', 'SourceFileLoader', 'mmcv.ops.nms', 'mmdet.models.detectors']


MOVED = {  # the module of version 0.1, and what configs and notebooks take from it
    'mmdet_ir.apis.inferencer': 'IRInferencer',
    'mmdet_ir.datasets.infrared_io': 'read_infrared',
    'mmdet_ir.datasets.loading': 'LoadIRImageFromFile',
    'mmdet_ir.experiments.environment': 'EnvironmentHook',
    'mmdet_ir.models.tta': 'IRTTAModel',
    'mmdet_ir.visualization.hook': 'IRVisualizationHook',
}


@pytest.mark.parametrize(('module', 'name'), MOVED.items())
def test_modules_that_moved_are_found_where_they_were(module: str, name: str) -> None:
    """Once in the first import of the package, once later; it is the same object, and the module keeps its name."""
    program = f"""
from {module} import {name} as before
import importlib, sys
there = sys.modules[before.__module__]
print(getattr(there, {name!r}) is before, there.__spec__.name == before.__module__ != {module!r})
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ['True', 'True']
