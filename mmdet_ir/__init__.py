"""Instance segmentation in infrared images, on MMDetection.

Importing the package prepares stock mmengine, mmcv and mmdet for current PyTorch (``mmdet_ir.compat``) and
registers every module of this project. Configs get it through ``custom_imports``.
"""

from . import compat  # isort: skip  (first: mmdet cannot be imported without it)

compat.apply()

from . import datasets, engine, evaluation, models  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = ['__version__', 'compat', 'datasets', 'engine', 'evaluation', 'models']
