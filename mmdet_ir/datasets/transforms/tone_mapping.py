"""Tone mapping: counts or temperatures of any depth to 0..255, the same in training, testing, drawing and inference.

The functions take ``image`` ``[H, W]`` as uint8, uint16 or finite float32 and return uint8 ``[H, W]``; they keep the
order of brightness (``clahe`` and ``detail`` locally only). Percentiles of integers are exact, from the histogram.
Where a level is the same wherever it stands, the histogram of integers is all that they need: see ``level_table``.
"""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.logging import MMLogger

from ..images.image_limits import LIMIT_VARIABLE
from ..images.values import repeat_channels, to_single_channel
from .levels import FLOAT_LEVELS, Levels, as_levels, counted, extremes, look_up, plateau_table, stretch, value_limits

ZERO_CELSIUS = 273.15  # Kelvin
_TOLD: set[tuple[str, str]] = set()  # folders and windows
_BASE_SHARE = 0.8  # of 0..255, in the middle; the rest is room for details


def linear(image: np.ndarray) -> np.ndarray:
    """Minimum to 0, maximum to 255. One dead pixel can take the contrast away; see ``percentile``."""
    return stretch(image, *extremes(image))


def window(image: np.ndarray, low: float, high: float, kelvin_per_count: float | None = None) -> np.ndarray:
    """``low`` and less to 0, ``high`` and more to 255: the same grey means the same value in all images.

    Args:
        image: ``[H, W]``.
        low: Lower end, in the unit of the image; with ``kelvin_per_count`` in degrees Celsius.
        high: Upper end.
        kelvin_per_count: The image holds temperature-linear counts, Kelvin = counts * ``kelvin_per_count``: 0.04 in
            the high and 0.4 in the low resolution of FLIR's T-linear mode.

    Raises:
        ValueError: If ``high`` is not above ``low``, or ``kelvin_per_count`` not above 0.
    """
    return stretch(image, *window_ends(low, high, kelvin_per_count))


def window_ends(low: float, high: float, kelvin_per_count: float | None = None) -> tuple[float, float]:
    """Both ends of :func:`window` in the unit of the image; the arguments and the errors are the same."""
    if not high > low:
        raise ValueError(f'expected low < high, got low={low} and high={high}')
    if kelvin_per_count is not None:
        if not kelvin_per_count > 0:
            raise ValueError(f'kelvin_per_count: expected more than 0, got {kelvin_per_count}')
        low, high = ((end + ZERO_CELSIUS) / kelvin_per_count for end in (low, high))
    return low, high


def percentile(image: np.ndarray, low: float = 0.5, high: float = 99.7) -> np.ndarray:
    """Stretches between two percentiles of the image, as a camera's automatic gain does.

    Gain and offset of the camera drop out. Where both percentiles fall together, minimum and maximum replace them.

    Args:
        image: ``[H, W]``.
        low: Lower percentile, 0 to 100.
        high: Upper percentile.

    Raises:
        ValueError: If not ``0 <= low < high <= 100``.
    """
    return stretch(image, *value_limits(image, low, high))


def plateau(image: np.ndarray, plateau: float = 1.0) -> np.ndarray:
    """Plateau histogram equalisation: frequent values get more of the range, but no more than the plateau allows.

    Follows Vickers, "Plateau equalization algorithm for real-time display of high-quality infrared imagery", Optical
    Engineering 35(7), 1996. Floating-point images are counted in 4096 levels.

    Args:
        image: ``[H, W]``.
        plateau: Where the histogram is cut off, as a multiple of its mean over the values that occur. Near 0 all
            values that occur are equally far apart (histogram projection); a large one is plain equalisation.

    Raises:
        ValueError: If ``plateau`` is not above 0.
    """
    levels = as_levels(image)
    return look_up(plateau_table(counted(levels), plateau).round().astype(np.uint8), levels)


def clahe(
    image: np.ndarray,
    clip_limit: float = 2.0,
    tiles: int = 8,
    low: float = 0.1,
    high: float = 99.9,
    limits: Sequence[float] | None = None,
) -> np.ndarray:
    """Percentile stretch to 8 bits, then OpenCV's contrast-limited adaptive histogram equalisation.

    Source: Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994. OpenCV's 16-bit
    CLAHE limits 65,536 bins a tile, which leaves next to no contrast for what a tile of infrared counts holds.

    Args:
        image: ``[H, W]``.
        clip_limit: Upper limit of a tile's histogram, as a multiple of its mean.
        tiles: Number of tiles across, and down.
        low: Lower percentile of the stretch.
        high: Upper percentile.
        limits: Fixed ends in the unit of the image, in place of the percentiles.

    Raises:
        ValueError: For a setting out of its range.
    """
    if not clip_limit > 0:
        raise ValueError(f'clip_limit: expected more than 0, got {clip_limit}')
    if tiles < 1:
        raise ValueError(f'tiles: expected at least 1, got {tiles}')
    stretched = stretch(image, *value_limits(image, low, high, limits))
    return cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles)).apply(stretched)


def detail(
    image: np.ndarray,
    gain: float = 4.0,
    flat_gain: float = 1.0,
    radius: int = 8,
    edge: float = 0.05,
    plateau: float = 0.3,
    low: float = 0.1,
    high: float = 99.9,
    limits: Sequence[float] | None = None,
) -> np.ndarray:
    """Detail enhancement: a smooth base is equalised, what is left of the image is amplified and added again.

    The base is a guided filter's (He et al., "Guided image filtering", TPAMI 2013) with the image as its own guide;
    its coefficient, near 0 in flat areas and near 1 at edges, weights the gain so that noise in flat areas stays low
    (Liu and Zhao, "Detail enhancement for high-dynamic-range infrared images based on guided image filter", Infrared
    Physics & Technology 67, 2014). The base's range is compressed by plateau equalisation to the middle 80 % of
    0..255, so that the details of the hottest and coldest objects have room.

    Args:
        image: ``[H, W]``.
        gain: Of the details at edges and in texture.
        flat_gain: Of the details in flat areas.
        radius: Of the filter's window, pixels.
        edge: Standard deviation within the window that counts as an edge, as a part of the range.
        plateau: See ``plateau``.
        low: Lower percentile of the range.
        high: Upper percentile.
        limits: Fixed ends of the range in the unit of the image, in place of the percentiles.

    Raises:
        ValueError: For a setting out of its range.
    """
    for name, value in (('radius', radius), ('edge', edge)):
        if not value > 0:
            raise ValueError(f'{name}: expected more than 0, got {value}')
    for name, value in (('gain', gain), ('flat_gain', flat_gain)):
        if not value >= 0:
            raise ValueError(f'{name}: expected 0 or more, got {value}')
    bottom, top = map(float, value_limits(image, low, high, limits))
    if top <= bottom:
        return np.zeros(image.shape, np.uint8)
    x = (image.astype(np.float32) - np.float32(bottom)) * np.float32(1 / (top - bottom))

    def smooth(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean = smooth(x)
    variance = np.maximum(smooth(x * x) - mean * mean, 0)
    slope = variance / (variance + edge**2)  # He et al., Eq. 5, with guide = input
    weight = smooth(slope)
    base = weight * x + smooth(mean - slope * mean)  # Eq. 6 and 8
    levels = np.clip(base * (FLOAT_LEVELS - 1), 0, FLOAT_LEVELS - 1).round().astype(np.uint16)
    table = 127.5 + _BASE_SHARE * (plateau_table(counted(levels), plateau) - 127.5)
    compressed = np.take(table.astype(np.float32), levels)
    out = compressed + 255 * (flat_gain + (gain - flat_gain) * weight) * (x - base)
    return np.clip(out.round(), 0, 255).astype(np.uint8)


METHODS: dict[str, Callable[..., np.ndarray]] = {
    function.__name__: function for function in (linear, window, percentile, plateau, clahe, detail)
}
TABLED = ('linear', 'window', 'percentile', 'plateau')  # the others look at the neighbours of a pixel


def tone_map(image: np.ndarray, method: str, **settings: object) -> np.ndarray:
    """Maps an image with the method of this name.

    Args:
        image: ``[H, W]``, uint8, uint16 or float32.
        method: A key of ``METHODS``.
        settings: The arguments of that function.

    Returns:
        uint8 ``[H, W]``, 0..255.

    Raises:
        ValueError: For an unknown method, a setting out of range, another kind of image, NaN or infinite values.
        TypeError: For a setting that the method lacks or needs.
    """
    function = _checked(method, settings)
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(f'expected uint8, uint16 or float32 of shape (H, W), got {image.dtype} of {image.shape}')
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise ValueError('expected finite values, got NaN or infinite ones')
    return function(image, **settings)


def level_table(counts: np.ndarray, method: str, **settings: object) -> np.ndarray:
    """What ``tone_map`` makes of each level of integers, from their histogram alone; for images read by parts.

    Args:
        counts: int64 ``[256]`` for uint8, ``[65536]`` for uint16: pixels of each level, see ``count_levels``.
        method: One of ``TABLED``.
        settings: The arguments of that function.

    Returns:
        uint8, 0..255, as long as ``counts``: ``table[image]`` is ``tone_map(image, method, **settings)``.

    Raises:
        ValueError: For a method that looks at neighbours, a setting out of range, or a histogram of another length or
            without pixels.
        TypeError: For a setting that the method lacks or needs.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms.tone_mapping import level_table
        >>> counts = np.bincount([100, 110, 120], minlength=256)
        >>> level_table(counts, 'linear')[[0, 100, 110, 120, 255]]
        array([  0,   0, 128, 255, 255], dtype=uint8)
    """
    function = _checked(method, settings)
    if method not in TABLED:
        raise ValueError(f'expected one of {list(TABLED)}, which need the histogram alone, got {method!r}')
    if counts.shape not in ((256,), (65536,)) or not counts.any():
        raise ValueError(f'expected numbers of pixels of 256 or 65536 levels, got {counts.sum()} of {counts.shape}')
    return function(Levels(counts), **settings)


def check_depth(dtype: np.dtype, method: str, settings: Mapping[str, object]) -> None:
    """Refuses images of 8 bits for a window of counts: they would be black.

    Args:
        dtype: Of the image.
        method: A key of ``METHODS``.
        settings: The arguments of that function.

    Raises:
        ValueError: If the window begins at 255 or above.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms.tone_mapping import check_depth
        >>> check_depth(np.dtype('uint16'), 'window', {'low': 7000, 'high': 9000})
    """
    if method == 'window' and dtype == np.uint8:
        low, high = window_ends(**settings)
        if low >= 255:
            raise ValueError(
                f'expected counts, of which the tone mapping keeps {low:.6g} to {high:.6g}, got 8 bits (0 to 255), '
                'which would all be black'
            )


@TRANSFORMS.register_module()
class ToneMapping(BaseTransform):
    """Maps ``img`` to 0..255, so that the normalisation of pretrained backbones holds for any infrared input.

    Belongs behind ``LoadIRImageFromFile`` in every pipeline of a config, with the same settings.

    Args:
        method: ``'linear'``, ``'window'``, ``'percentile'``, ``'plateau'``, ``'clahe'`` or ``'detail'``.
        channels: 3 equal channels, or 1.
        settings: The settings of that method, see its function in this module.

    Raises:
        ValueError: For an unknown method, or a setting out of its range.
        TypeError: For a setting that the method lacks or needs.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import ToneMapping
        >>> counts = np.array([[6000, 7000, 8000]], np.uint16)
        >>> ToneMapping('window', channels=1, low=6000, high=8000)({'img': counts[..., None]})['img'].ravel()
        array([  0, 128, 255], dtype=uint8)
    """

    def __init__(self, method: str, channels: int = 3, **settings: object) -> None:
        if channels not in (1, 3):
            raise ValueError(f'ToneMapping: channels: expected 1 or 3, got {channels!r}')
        self.method = method
        self.channels = channels
        self.settings = settings
        tone_map(np.arange(256, dtype=np.uint16).reshape(16, 16), method, **settings)  # refuses wrong settings now

    def transform(self, results: dict) -> dict:
        """Map ``results['img']``.

        Args:
            results: With ``img``, ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]`` with equal channels; uint8, uint16 or
                float32.

        Returns:
            ``results`` with ``img`` uint8, ``[H, W, 3]``, or ``[H, W]`` for ``channels=1``.

        Raises:
            ValueError: For other images, colours, values that are not finite, or 8 bits where the window is of counts.
        """
        name = results.get('img_path') or 'without a file name'
        image = to_single_channel(results['img'], name)
        try:
            check_depth(self._stored_dtype(image, results), self.method, self.settings)
            mapped = tone_map(image, self.method, **self.settings)
        except ValueError as error:
            raise ValueError(f'image {name}: {error}') from error
        self._tell_outside(mapped, name)
        results['img'] = repeat_channels(mapped, self.channels)
        return results

    def table(self, counts: np.ndarray, name: str | os.PathLike) -> np.ndarray:
        """What ``transform`` makes of each level of an image that is read by parts; see ``level_table``.

        Args:
            counts: Its histogram.
            name: For the message.

        Raises:
            ValueError: If the method looks at neighbours.
        """
        if self.method not in TABLED:
            raise ValueError(
                f'image {name}: too large to be read at once, and the tone mapping {self.method!r} looks at '
                f'neighbouring pixels: reading by parts needs one of {", ".join(TABLED)}, or more memory '
                f'({LIMIT_VARIABLE}=... allows more pixels at once)'
            )
        try:
            check_depth(np.dtype(np.uint8 if len(counts) == 256 else np.uint16), self.method, self.settings)
        except ValueError as error:
            raise ValueError(f'image {name}: {error}') from error
        table = level_table(counts, self.method, **self.settings)
        self._tell_outside(table[np.asarray(counts) > 0], name)
        return table

    def _stored_dtype(self, image: np.ndarray, results: dict) -> np.dtype:
        """Of the file, if the image has its values: ``to_float32`` keeps them, other transforms may not."""
        stored = results.get('stored_dtype')
        if self.method != 'window' or stored != np.uint8 or (image.size and image.max() > 255):
            return image.dtype
        return stored

    def _tell_outside(self, mapped: np.ndarray, name: str | os.PathLike) -> None:
        """Says that a window leaves nothing of an image, which a closed shutter may do; once for a folder."""
        if self.method != 'window' or not mapped.size:
            return
        level = int(mapped.flat[0])
        if level not in (0, 255) or (mapped != level).any():
            return
        folder = os.path.dirname(name)
        if (folder, repr(self)) not in _TOLD:
            _TOLD.add((folder, repr(self)))
            low, high = window_ends(**self.settings)
            where, what = ('below', 'black') if level == 0 else ('above', 'white')
            MMLogger.get_current_instance().warning(
                f'image {name}: all values are {where} the window of the tone mapping, {low:.6g} to {high:.6g}, so it '
                f'becomes {what}; further images of this folder are not told'
            )

    def apply_table(self, table: np.ndarray, image: np.ndarray) -> np.ndarray:
        """What ``transform`` makes of a part ``[H, W]`` of an image that has this ``table``."""
        return repeat_channels(look_up(table, image), self.channels)

    def __repr__(self) -> str:
        settings = ''.join(f', {name}={value!r}' for name, value in self.settings.items())
        return f'{type(self).__name__}(method={self.method!r}, channels={self.channels}{settings})'


def _checked(method: str, settings: dict) -> Callable[..., np.ndarray]:
    """The function of a method, after a look at the names of its settings."""
    if method not in METHODS:
        raise ValueError(f'method: expected one of {sorted(METHODS)}, got {method!r}')
    function = METHODS[method]
    parameters = list(inspect.signature(function).parameters.values())[1:]
    unknown = sorted(set(settings) - {p.name for p in parameters})
    needed = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.name not in settings]
    if unknown or needed:
        raise TypeError(
            f'tone mapping {method!r}: expected settings out of {[p.name for p in parameters]}, '
            + (f'got {unknown}' if unknown else f'but {needed} not given')
        )
    return function
