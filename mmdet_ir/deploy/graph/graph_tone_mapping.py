"""Tone mapping as tensor operations; the grey values are those of the transform ``ToneMapping``.

Runtimes may compute in float32 what a graph has in float64, and in 32 bits what it has in 64. So integers are mapped
in whole numbers of 32 bits, by long division, and between fixed ends by a table: every runtime gives the same levels.
"""

import inspect
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from ...datasets.transforms.levels import exact_shares
from ...datasets.transforms.tone_mapping import METHODS, ToneMapping, window_ends
from .sizes import Size, least

_GRAPHS = ('linear', 'percentile', 'window')
_VALUES = 2**16  # of integer images
_BITS = 8  # of a grey level


class GraphToneMapping(nn.Module):
    """The transform in a graph: counts or temperatures to 0..255.

    Args:
        transform: Of a test pipeline.

    Raises:
        ValueError: If the method, or a setting of it, has no form in a graph with the same grey values.
    """

    def __init__(self, transform: ToneMapping) -> None:
        super().__init__()
        if transform.method not in _GRAPHS:
            raise ValueError(
                f'ToneMapping: expected a method that a graph can hold, one of {list(_GRAPHS)}, got '
                f'{transform.method!r}; export a config without ToneMapping and map the images before the model'
            )
        self.method, function = transform.method, METHODS[transform.method]
        settings = inspect.signature(function).bind(None, **transform.settings)
        settings.apply_defaults()
        self.settings = dict(list(settings.arguments.items())[1:])
        self.shares = (Fraction(0), Fraction(1), 1)
        if self.method == 'percentile':
            self.shares = exact_shares(self.settings['low'], self.settings['high'])
            if self.shares is None:
                raise ValueError(
                    f'ToneMapping: expected percentiles of two decimals at most, which a graph can count with, got '
                    f'low={self.settings["low"]} and high={self.settings["high"]}'
                )
        elif self.method == 'window':
            levels = function(np.arange(_VALUES, dtype=np.uint16)[None], **self.settings)[0]
            self.register_buffer('table', torch.from_numpy(levels.astype(np.int32)), persistent=False)
            self.ends = window_ends(**self.settings)

    def forward(self, images: Tensor) -> Tensor:
        """Maps as NumPy does.

        Args:
            images: ``[N, 1, H, W]``, uint8, int32 (0 to 65535) or finite float32.

        Returns:
            ``[N, 1, H, W]`` float32, whole numbers in 0..255.
        """
        if images.dtype == torch.float32:
            return self._map_floats(images)
        values = images.to(torch.int32)
        if self.method == 'window':
            return self.table[values.clamp(0, _VALUES - 1).long()].float()
        return self._map_integers(values)

    def _map_integers(self, values: Tensor) -> Tensor:
        """``round(255 * (values - low) / (high - low))``, halves to even, in units of ``1 / common``."""
        *shares, common = self.shares
        pixels = values.flatten(1)
        lowest, highest = (reduce(values, (1, 2, 3), keepdim=True) * common for reduce in (torch.amin, torch.amax))
        low, high = lowest, highest
        if self.method == 'percentile':
            low, high = (_ranked(pixels, share, common).view(-1, 1, 1, 1) for share in shares)
            wide = high > low
            low, high = torch.where(wide, low, lowest), torch.where(wide, high, highest)
        span = high - low
        part = torch.minimum((values * common - low).clamp(min=0), span)
        full = part >= span  # (flat images are of this kind, too)
        rest = torch.where(full, 0, part)
        quotient = torch.zeros_like(rest)
        for _ in range(_BITS):  # 256 * part / span
            rest = rest + rest
            whole = rest >= span
            rest = torch.where(whole, rest - span, rest)
            quotient = quotient + quotient + whole.int()
        rest = rest - part  # 255 * part = quotient * span + rest
        below = rest < 0
        quotient = torch.where(below, quotient - 1, quotient)
        twice = torch.where(below, rest + span, rest) * 2
        odd = (quotient - torch.div(quotient, 2, rounding_mode='floor') * 2) == 1
        quotient = quotient + ((twice > span) | ((twice == span) & odd)).int()
        return torch.where(span <= 0, 0, torch.where(full, 255, quotient)).float()

    def _map_floats(self, images: Tensor) -> Tensor:
        if self.method == 'window':
            low, high = (torch.full((1, 1, 1, 1), end, dtype=torch.float64, device=images.device) for end in self.ends)
        else:
            lowest, highest = (reduce(images, (1, 2, 3), keepdim=True).double() for reduce in (torch.amin, torch.amax))
            low, high = lowest, highest
            if self.method == 'percentile':
                pixels = images.flatten(1)
                low, high = (_interpolated(pixels, share).view(-1, 1, 1, 1) for share in self.shares[:2])
                wide = high > low
                low, high = torch.where(wide, low, lowest), torch.where(wide, high, highest)
        flat = high <= low
        span = torch.where(flat, 1.0, high - low)
        factor = torch.full_like(span, 255.0) / span  # (255 / span would be rounded twice, as 255 * (1 / span))
        mapped = ((images - low.float()) * factor.float()).round().clamp(0, 255)
        return torch.where(flat, 0.0, mapped)


def _neighbours(values: Tensor, share: Fraction) -> tuple[Tensor, Tensor, Size]:
    """The values that the place ``share`` of the sorted values lies between, and how far, in its denominator's units.

    Only the shorter tail is sorted.

    Args:
        values: ``[N, P]``.
        share: 0 to 1.
    """
    last = values.shape[1] - 1
    from_top = share > Fraction(1, 2)
    share = 1 - share if from_top else share
    # (in steps, so that large images do not need more than 32 bits)
    rounds, left = last // share.denominator, last % share.denominator
    rank = rounds * share.numerator + left * share.numerator // share.denominator
    rest = left * share.numerator % share.denominator
    tail = torch.topk(values, least(rank + 2, last + 1), dim=1, largest=from_top).values
    return tail[:, rank], tail[:, -1], rest


def _ranked(values: Tensor, share: Fraction, common: int) -> Tensor:
    """Value at ``share`` of the sorted integers ``[N, P]``, times ``common``: ``[N]`` int32, exact."""
    here, following, rest = _neighbours(values, share)
    return here * common + (following - here) * (rest * (common // share.denominator))


def _interpolated(values: Tensor, share: Fraction) -> Tensor:
    """Value at ``share`` of the sorted values ``[N, P]``: ``[N]`` float64."""
    here, following, rest = _neighbours(values, share)
    rest = (rest.double() if isinstance(rest, Tensor) else rest) / share.denominator
    return here.double() + (following.double() - here.double()) * rest
