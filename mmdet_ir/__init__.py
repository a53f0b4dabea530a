"""Instance segmentation in infrared images, on MMDetection.

Wherever this package and mmengine are both imported, in either order, mmengine, mmcv and mmdet are prepared for
current PyTorch (``mmdet_ir.compat``) and every module of this project is registered. Configs get it through
``custom_imports``. The package alone imports none of these libraries, which take seconds: tools answer ``--help``
before they do.
"""

import importlib
import sys

if sys.version_info < (3, 10):  # noqa: UP036  (before anything that an older Python cannot read)
    found = sys.version.split()[0]
    sys.exit(f'error: expected Python 3.10 or newer, got {found}; make an environment with a newer one')

from . import late, threads
from .version import __version__

__all__ = ['__version__', 'compat', 'datasets', 'engine', 'evaluation', 'models']


def _register() -> None:
    importlib.import_module('.compat', __name__).apply()  # first: mmdet cannot be imported without it
    for room in ('datasets', 'engine', 'evaluation', 'models'):
        importlib.import_module(f'.{room}', __name__)


def __getattr__(name: str) -> object:
    if name in __all__:
        return importlib.import_module(f'.{name}', __name__)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


threads.wait_without_spinning()  # now: PyTorch may be imported next
late.prepare_with_first_use(_register)
