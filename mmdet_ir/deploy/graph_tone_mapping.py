"""Tone mapping as tensor operations; the grey values are those of the transform ``ToneMapping``."""

import inspect
from fractions import Fraction

import torch
from torch import Tensor, nn

from ..datasets.transforms.tone_mapping import METHODS, ZERO_CELSIUS, ToneMapping
from .sizes import least


def _extremes(images: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(reduce(images, dim=(1, 2, 3), keepdim=True).double() for reduce in (torch.amin, torch.amax))


def _window(images: Tensor, low: float, high: float, kelvin_per_count: float | None) -> tuple[Tensor, Tensor]:
    if kelvin_per_count is not None:
        low, high = ((end + ZERO_CELSIUS) / kelvin_per_count for end in (low, high))
    return tuple(torch.full((1, 1, 1, 1), end, dtype=torch.float64, device=images.device) for end in (low, high))


def _percentiles(images: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    pixels = images.flatten(1)
    bottom, top = (_order_statistic(pixels, Fraction(str(end)) / 100).view(-1, 1, 1, 1) for end in (low, high))
    lowest, highest = _extremes(images)
    wide = top > bottom
    return torch.where(wide, bottom, lowest), torch.where(wide, top, highest)


def _order_statistic(values: Tensor, share: Fraction) -> Tensor:
    """Value at ``share`` of the sorted values, linear between neighbours; only the shorter tail is sorted.

    Args:
        values: ``[N, P]``.
        share: 0 to 1.

    Returns:
        ``[N]`` float64.
    """
    last = values.shape[1] - 1
    from_top = share > Fraction(1, 2)
    share = 1 - share if from_top else share
    rank = last * share.numerator // share.denominator
    rest = last * share.numerator - rank * share.denominator
    rest = (rest.double() if isinstance(rest, Tensor) else rest) / share.denominator
    tail = torch.topk(values, least(rank + 2, last + 1), dim=1, largest=from_top).values.double()
    here, following = tail[:, rank], tail[:, -1]
    return here + (following - here) * rest


_LIMITS = {'linear': _extremes, 'window': _window, 'percentile': _percentiles}


class GraphToneMapping(nn.Module):
    """The transform in a graph: counts or temperatures to 0..255.

    Args:
        transform: Of a test pipeline.

    Raises:
        ValueError: If the method has no form in a graph with the same grey values.
    """

    def __init__(self, transform: ToneMapping) -> None:
        super().__init__()
        if transform.method not in _LIMITS:
            raise ValueError(
                f'ToneMapping: expected a method that a graph can hold, one of {sorted(_LIMITS)}, got '
                f'{transform.method!r}; export a config without ToneMapping and map the images before the model'
            )
        self.limits = _LIMITS[transform.method]
        settings = inspect.signature(METHODS[transform.method]).bind(None, **transform.settings)
        settings.apply_defaults()
        self.settings = dict(list(settings.arguments.items())[1:])

    def forward(self, images: Tensor) -> Tensor:
        """Maps as NumPy does: integers in float64, float32 values in float32, halves to even.

        Args:
            images: ``[N, 1, H, W]``, uint8, int32 or finite float32.

        Returns:
            ``[N, 1, H, W]`` float32, whole numbers in 0..255.
        """
        low, high = self.limits(images, **self.settings)
        flat = high <= low
        span = torch.where(flat, 1.0, high - low)
        factor = torch.full_like(span, 255.0) / span  # (255 / span would be rounded twice, as 255 * (1 / span))
        kind = torch.float32 if images.dtype == torch.float32 else torch.float64
        mapped = ((images.to(kind) - low.to(kind)) * factor.to(kind)).round().clamp(0, 255)
        return torch.where(flat, 0.0, mapped.float())
