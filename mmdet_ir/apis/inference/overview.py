"""Pictures of images that are never in memory as a whole: mapped window by window, and drawn smaller."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from ...datasets.images.tiff_parts import TiffParts
from ...visualization.overlay import FoundInstance

LARGEST_PICTURE = 200_000_000  # values of an array: above this, its picture is drawn smaller
OVERVIEW = 30_000_000  # pixels of a smaller picture, at most
_BAND = 2**24  # pixels that are made smaller at once


class MappedParts:
    """What the model sees of a page that is read by parts.

    Args:
        parts: The page.
        change: Turns a window of its values, ``[h, w]``, into what the model sees: ``[h, w]`` or ``[h, w, 3]``, uint8
            unless nothing maps tones.
    """

    def __init__(self, parts: TiffParts, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.parts = parts
        self.change = change
        self.shape = parts.shape

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        return self.change(self.parts[window])


def reduction(levels: np.ndarray | MappedParts) -> int:
    """Whole number by which a picture is drawn smaller, so that it fits into the memory; 1 for those that do."""
    if isinstance(levels, np.ndarray) and levels.size <= LARGEST_PICTURE:
        return 1
    height, width = levels.shape[:2]
    factor = max(1, math.isqrt(height * width // OVERVIEW))
    while -(-height // factor) * -(-width // factor) > OVERVIEW:
        factor += 1
    return factor


def small_picture(levels: np.ndarray | MappedParts, factor: int) -> np.ndarray:
    """A picture with one pixel for ``factor`` times ``factor`` pixels, their mean; at the ends, of what is there.

    Args:
        levels: ``[H, W]`` or ``[H, W, 3]`` (BGR); only bands of it are looked at. Other values than uint8 are
            stretched from minimum to maximum.
        factor: See ``reduction``.

    Returns:
        ``[ceil(H / factor), ceil(W / factor), 3]`` uint8, RGB.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.apis.inference.overview import small_picture
        >>> small_picture(np.array([[0, 100, 50], [100, 200, 70]], np.uint8), 2)[..., 0]
        array([[100,  60]], dtype=uint8)
    """
    height, width = levels.shape[:2]
    rows = factor * max(1, _BAND // (factor * width))
    found = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    limits = _limits(levels)
    for y in range(0, height, rows):
        band = levels[y : y + rows, 0:width]
        if limits is not None:
            low, high = limits
            band = (255 * (band.astype(np.float32) - low) / max(high - low, 1e-30)).round().astype(np.uint8)
        band = cv2.cvtColor(band, cv2.COLOR_GRAY2RGB if band.ndim == 2 else cv2.COLOR_BGR2RGB)
        if factor > 1:
            bottom, right = -band.shape[0] % factor, -width % factor
            # (the mean of a cell at the end counts its last row or column more than once)
            band = cv2.copyMakeBorder(band, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
            size = band.shape[1] // factor, band.shape[0] // factor
            band = cv2.resize(band, size, interpolation=cv2.INTER_AREA)
        found[y // factor : y // factor + band.shape[0]] = band
    return found


def _limits(levels: np.ndarray | MappedParts) -> tuple[float, float] | None:
    """Minimum and maximum of values that are no grey levels yet; ``None`` for uint8."""
    if levels[0:1, 0:1].dtype == np.uint8:
        return None
    # (what is not mapped has the values of the page)
    values = levels if isinstance(levels, np.ndarray) else np.flatnonzero(levels.parts.counts)
    return float(values.min()), float(values.max())


def small_instances(instances: Sequence[FoundInstance], factor: int) -> list[FoundInstance]:
    """Detections in the pixels of the smaller picture, to be drawn; ``rle`` stays that of the image.

    A pixel belongs to a mask if any of its pixels does, so that no target disappears.
    """
    return [_small(instance, factor) for instance in instances] if factor > 1 else list(instances)


def _small(instance: FoundInstance, factor: int) -> FoundInstance:
    (x, y), (height, width) = instance.corner, instance.crop.shape
    before = (y % factor, x % factor)
    after = [-(first + side) % factor for first, side in zip(before, (height, width), strict=True)]
    crop = np.pad(instance.crop, list(zip(before, after, strict=True)))
    crop = crop.reshape(crop.shape[0] // factor, factor, crop.shape[1] // factor, factor).any(axis=(1, 3))
    return replace(
        instance,
        box=tuple(value / factor for value in instance.box),
        area=int(np.count_nonzero(crop)),
        corner=(x // factor, y // factor),
        crop=crop,
    )
