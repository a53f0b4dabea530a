"""Instance segmentation in infrared images, on MMDetection.

Importing the package prepares stock mmengine, mmcv and mmdet for current PyTorch (``mmdet_ir.compat``) and
registers every module of this project. Configs get it through ``custom_imports``.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036  (before anything that an older Python cannot read)
    found = sys.version.split()[0]
    sys.exit(f'error: expected Python 3.10 or newer, got {found}; make an environment with a newer one')

from .threads import wait_without_spinning  # isort: skip

wait_without_spinning()  # before PyTorch is imported

from . import compat  # noqa: E402  isort: skip  (first: mmdet cannot be imported without it)

compat.apply()

from . import datasets, engine, evaluation, models  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = ['__version__', 'compat', 'datasets', 'engine', 'evaluation', 'models']
