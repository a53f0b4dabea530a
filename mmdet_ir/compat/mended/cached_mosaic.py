"""Masks of CachedMosaic whose tiles are not square.

MMDetection 3.3 moves the masks of each part to a canvas whose height is the mosaic's width and the reverse
(``transforms.py``, ``CachedMosaic.transform``): what lies beyond is cut off, and later steps distort the rest.
"""

import functools
import inspect
from contextlib import ExitStack
from unittest import mock

from mmdet.datasets.transforms import CachedMosaic
from mmdet.structures.mask import BitmapMasks, PolygonMasks

_SWAPPED = 'out_shape=(int(self.img_scale[0] * 2)'  # height from the width


def keep_masks_on_their_mosaic() -> None:
    """Lets masks that are moved meanwhile take the mosaic's own height and width."""
    stock = CachedMosaic.transform
    if _SWAPPED not in inspect.getsource(CachedMosaic):
        return

    @functools.wraps(stock)
    def transform(self: CachedMosaic, results: dict) -> dict:
        turned = (int(self.img_scale[0] * 2), int(self.img_scale[1] * 2))
        with ExitStack() as stack:
            for kind in (BitmapMasks, PolygonMasks):
                stack.enter_context(mock.patch.object(kind, 'translate', _turned_back(kind.translate, turned)))
            return stock(self, results)

    CachedMosaic.transform = transform


def _turned_back(stock: object, turned: tuple[int, int]) -> object:
    """``translate`` of masks that exchanges height and width of one canvas."""

    @functools.wraps(stock)
    def translate(self: object, out_shape: tuple[int, int], *args: object, **kwargs: object) -> object:
        return stock(self, turned[::-1] if tuple(out_shape) == turned else out_shape, *args, **kwargs)

    return translate
