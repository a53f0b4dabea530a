"""Levels of images for tone mapping: their histogram, percentiles, and tables from level to brightness.

Each function takes an image ``[H, W]``, uint8, uint16 or finite float32, or ``Levels`` in its place.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from ..images.values import count_levels

FLOAT_LEVELS = 4096  # for histograms of floating-point images
_LARGEST_DENOMINATOR = 10_000  # of percentiles; times 2^16 counts and doubled it is within 31 bits
_BAND = 2**20  # pixels that are looked up at once


@dataclass(frozen=True)
class Levels:
    """All levels of integers, once each, in the place of an image of which only the histogram is known.

    Attributes:
        counts: int64 ``[256]`` or ``[65536]``: pixels of each level.
    """

    counts: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if len(self.counts) == 256 else np.uint16)

    @property
    def shape(self) -> tuple[int]:
        return self.counts.shape


def look_up(table: np.ndarray, image: np.ndarray | Levels) -> np.ndarray:
    """``table[image]``, without the eight bytes a pixel that NumPy takes for its indices.

    Args:
        table: As long as the image has levels.
        image: uint8 or uint16, ``[H, W]``.
    """
    if isinstance(image, Levels):
        return table
    if image.dtype == np.uint8:
        return cv2.LUT(image, table)
    # (in bands: NumPy makes indices of eight bytes of all that it takes at once)
    found = np.empty(image.shape, table.dtype)
    rows = max(1, _BAND // max(image.shape[1], 1))
    for first in range(0, image.shape[0], rows):
        found[first : first + rows] = table[image[first : first + rows]]
    return found


def exact_shares(low: float, high: float) -> tuple[Fraction, Fraction, int] | None:
    """Percentiles as shares of 1, and the denominator that both have in common.

    ``None`` where it is too large for whole numbers of 32 bits, so that no graph can count with it: percentiles of
    more than two decimals.
    """
    shares = [Fraction(str(end)) / 100 for end in (low, high)]
    common = math.lcm(*(share.denominator for share in shares))
    return (*shares, common) if common <= _LARGEST_DENOMINATOR else None


def value_limits(
    image: np.ndarray | Levels, low: float, high: float, limits: Sequence[float] | None = None
) -> tuple[float | Fraction, float | Fraction]:
    """Percentiles ``low`` and ``high`` of the image, or the fixed ``limits``; minimum and maximum in a pinch."""
    if limits is not None:
        bottom, top = limits
        if not top > bottom:
            raise ValueError(f'limits: expected the lower one first, got {tuple(limits)}')
        return float(bottom), float(top)
    if not 0 <= low < high <= 100:
        raise ValueError(f'expected percentiles 0 <= low < high <= 100, got low={low} and high={high}')
    if image.dtype == np.float32:
        bottom, top = (float(value) for value in np.percentile(image, (low, high)))
    else:
        exact = exact_shares(low, high)
        shares = (low / 100, high / 100) if exact is None else exact[:2]
        cumulative = np.cumsum(counted(image))
        bottom, top = (_order_statistic(cumulative, (int(cumulative[-1]) - 1) * share) for share in shares)
    return (bottom, top) if top > bottom else extremes(image)


def _order_statistic(cumulative: np.ndarray, rank: float | Fraction) -> float | Fraction:
    """Value at a rank of sorted integers, linear between neighbours; exact for an exact rank."""
    below = math.floor(rank)
    here, following = np.searchsorted(cumulative, [below, min(below + 1, int(cumulative[-1]) - 1)], 'right').tolist()
    return here + (rank - below) * (following - here)


def extremes(image: np.ndarray | Levels) -> tuple[float | Fraction, float | Fraction]:
    if isinstance(image, Levels):
        low, high = np.flatnonzero(image.counts)[[0, -1]].tolist()
        return Fraction(low), Fraction(high)
    kind = float if image.dtype == np.float32 else Fraction
    return kind(image.min().item()), kind(image.max().item())


def counted(image: np.ndarray | Levels) -> np.ndarray:
    """Number of pixels of each level."""
    return image.counts if isinstance(image, Levels) else count_levels(image)


def stretch(image: np.ndarray | Levels, low: float | Fraction, high: float | Fraction) -> np.ndarray:
    """``low`` to 0, ``high`` to 255, linear between them, rounded; all 0 where ``high`` is not above ``low``.

    Halves are rounded to even; of integers between exact ends without any error of floating point, so that every
    runtime can give the same grey levels.
    """
    if high <= low:
        return np.zeros(image.shape, np.uint8)
    if image.dtype == np.float32:
        factor = 255 / (high - low)
        return np.clip(((image - low) * factor).round(), 0, 255).astype(np.uint8)
    end = int(np.iinfo(image.dtype).max)
    first, last = (min(max(int(value), 0), end) for value in (math.floor(low), math.ceil(high)))
    table, between = np.zeros(end + 1, np.uint8), np.arange(first, last + 1)
    if isinstance(low, Fraction) and isinstance(high, Fraction):
        table[first : last + 1] = _exact_levels(between, low, high)
    else:
        table[first : last + 1] = np.clip(((between - float(low)) * (255 / (high - low))).round(), 0, 255)
    table[last + 1 :] = 255
    return look_up(table, image)


def _exact_levels(values: np.ndarray, low: Fraction, high: Fraction) -> np.ndarray:
    """``255 * (values - low) / (high - low)`` rounded half to even, within 0..255, in whole numbers."""
    common = math.lcm(low.denominator, high.denominator)
    span = int((high - low) * common)
    quotient, rest = np.divmod(510 * (values * common - int(low * common)) + span, 2 * span)
    return np.clip(quotient - ((rest == 0) & (quotient % 2 == 1)), 0, 255)


def as_levels(image: np.ndarray | Levels) -> np.ndarray | Levels:
    """Integers as they are; floating-point values as 4096 equal steps from minimum to maximum."""
    if image.dtype != np.float32:
        return image
    low, high = float(image.min()), float(image.max())
    factor = (FLOAT_LEVELS - 1) / (high - low) if high > low else 0
    return ((image - low) * factor).round().astype(np.uint16)


def plateau_table(counts: np.ndarray, plateau: float) -> np.ndarray:
    """Plateau equalisation as a table from level to brightness, float64, 0..255; ``counts`` is the histogram."""
    if not plateau > 0:
        raise ValueError(f'plateau: expected more than 0, got {plateau}')
    clipped = np.minimum(counts, plateau * int(counts.sum()) / np.count_nonzero(counts))
    cumulative = np.cumsum(clipped, dtype=np.float64)
    first = clipped[np.flatnonzero(clipped)[0]]  # the lowest value that occurs becomes 0
    spread = cumulative[-1] - first  # 0 for a constant image
    return np.maximum(cumulative - first, 0) * (255 / spread if spread > 0 else 0)
