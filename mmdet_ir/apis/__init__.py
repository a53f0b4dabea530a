"""What the tools call, for importers too: :func:`train`, :func:`test`, :func:`infer` and :class:`IRInferencer`.

Further rooms: ``inference`` (images, folders and videos in; results out), ``demo`` (the page in the browser),
``new_config`` (a config for a data set of one's own), ``derive_masks``, ``tta``, ``tiled_test``.
"""

from .inference.inferencer import IRInferencer
from .inference.run import infer
from .launch import load_config, test, train
from .tiled_test import test_tiled

__all__ = ['IRInferencer', 'infer', 'load_config', 'test', 'test_tiled', 'train']
