"""What differs between infrared recordings, as training augmentation: camera settings, optics, detector.

All transforms here work on single-channel images, or on the three equal channels that loading makes of one, of dtype
uint8, uint16 or float32. They keep shape, dtype and the equality of the channels, clip to the range of values, and
leave boxes and masks alone. Physics is shared with the synthetic scenes (``mmdet_ir.datasets.sensor``).

Each transform draws one seed from NumPy's global generator, which MMEngine seeds in every worker, and the rest from a
generator of that seed.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS

from .. import sensor
from ..images.values import repeat_channels, to_single_channel

ValueRange = tuple[float, float] | str | None


def image_name(results: dict) -> str:
    """For messages."""
    return results.get('img_path', 'without a file name')


def require_annotations(results: dict, keys: Sequence[str], transform: str) -> None:
    """For transforms that need targets.

    Raises:
        ValueError: If one of the keys is missing; names the image and what to put before the transform.
    """
    missing = [key for key in keys if results.get(key) is None]
    if missing:
        raise ValueError(
            f'image {image_name(results)}: expected boxes and masks, {missing} missing; put '
            f'LoadAnnotations(with_bbox=True, with_mask=True) before {transform}'
        )


def value_limits(image: np.ndarray, value_range: ValueRange, name: str) -> tuple[float, float]:
    """Lowest and highest value that pixels may take.

    Args:
        image: uint8, uint16 or float32.
        value_range: The two values; 'image' for the image's own minimum and maximum; None for 0..255, uint8 only.
        name: For the message.

    Raises:
        TypeError: If the dtype is none of the three.
        ValueError: If the range must be given and is not, or the image has values outside of it.
    """
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise TypeError(f'image {name}: expected uint8, uint16 or float32, got {image.dtype}')
    if value_range is None:
        if image.dtype != np.uint8:
            raise ValueError(
                f'image {name}: expected value_range=(low, high) or value_range="image" for {image.dtype} images, '
                f'got None; 14-bit counts are (0, 16383)'
            )
        return 0.0, 255.0
    lowest, highest = float(image.min()), float(image.max())
    low, high = (lowest, highest) if value_range == 'image' else value_range
    if not low <= lowest <= highest <= high:
        raise ValueError(f'image {name}: expected values in value_range={value_range}, got {lowest:g} to {highest:g}')
    return float(low), float(high)


def restore(values: np.ndarray, like: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Values [H, W] as an image of shape and dtype of ``like``: clipped, rounded for integers, repeated by channel."""
    values = np.clip(values, *limits)
    if like.dtype != np.float32:
        values = np.rint(values)
    values = values.astype(like.dtype)
    return values.reshape(like.shape) if like.size == values.size else repeat_channels(values, 3)


class IRAugmentation(BaseTransform):
    """Base: checks the range of values, decides whether to act, and seeds what follows.

    Args:
        prob: Probability of acting on an image.
        value_range: Lowest and highest value that pixels may take. None: 0..255, for uint8 images only. 'image': the
            image's own minimum and maximum. Other dtypes do not tell what is in them (14-bit counts come as uint16),
            so there one of the two must be given.

    Required and modified key: ``img``.
    """

    def __init__(self, prob: float = 0.5, value_range: ValueRange = None) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'{type(self).__name__}: expected prob from 0 to 1, got {prob}')
        if isinstance(value_range, str):
            if value_range != 'image':
                raise ValueError(f'{type(self).__name__}: expected value_range "image" or a pair, got {value_range!r}')
        elif value_range is not None:
            value_range = self._interval('value_range', value_range)
            if value_range[0] == value_range[1]:
                raise ValueError(f'{type(self).__name__}: expected value_range with low < high, got {value_range}')
        self.prob = prob
        self.value_range = value_range

    def _interval(
        self, name: str, interval: Sequence[float], low: float = -np.inf, high: float = np.inf
    ) -> tuple[float, float]:
        """Check an argument that is an interval within ``low`` to ``high``."""
        if len(interval) != 2 or not low <= interval[0] <= interval[1] <= high:
            raise ValueError(
                f'{type(self).__name__}: expected {name}=(a, b) with {low:g} <= a <= b <= {high:g}, got {interval}'
            )
        return float(interval[0]), float(interval[1])

    @cache_randomness
    def _seed(self) -> int:
        return int(np.random.randint(2**31))  # noqa: NPY002 (mmcv's transforms are seeded through this generator)

    def transform(self, results: dict) -> dict:
        """Act on ``results`` with probability ``prob``.

        Raises:
            TypeError: If the image's dtype is not supported.
            ValueError: If its values do not fit the range, or its channels differ.
        """
        limits = value_limits(results['img'], self.value_range, image_name(results))
        rng = np.random.default_rng(self._seed())
        if rng.random() < self.prob:
            self.act(results, limits, rng)
        return results

    @abstractmethod
    def act(self, results: dict, limits: tuple[float, float], rng: np.random.Generator) -> None:
        """Change ``results``; ``rng`` is the source of all randomness."""

    def __repr__(self) -> str:
        arguments = ', '.join(f'{k}={v!r}' for k, v in vars(self).items() if not k.startswith('_'))
        return f'{type(self).__name__}({arguments})'


class PixelAugmentation(IRAugmentation):
    """Base of those that change pixels only: takes care of channels, dtype and range."""

    def act(self, results: dict, limits: tuple[float, float], rng: np.random.Generator) -> None:
        image = results['img']
        if limits[0] == limits[1]:  # value_range='image', and nothing in the image
            return
        values = to_single_channel(image, image_name(results)).astype(np.float32)
        results['img'] = restore(self.augment(values, *limits, rng), image, limits)

    @abstractmethod
    def augment(self, image: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
        """Change an image.

        Args:
            image: float32 [H, W], values in ``low`` to ``high``; may be changed in place.
            low: Lowest value that is allowed.
            high: Highest value that is allowed.
            rng: Source of all randomness.

        Returns:
            Float [H, W]; the caller clips and rounds.
        """


@TRANSFORMS.register_module()
class RandomGainOffset(PixelAugmentation):
    """Contrast and level: ``mean + gain * (x - mean) + offset * range``, with the image's own mean.

    Cameras set both by hand or automatically, by the warmest and coldest thing in view.

    Args:
        gain: Interval of the factor on the contrast, above 0; drawn uniformly in its logarithm.
        offset: Interval of the shift, as a fraction of the range.
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import RandomGainOffset
        >>> image = RandomGainOffset(prob=1.0)({'img': np.full((8, 8, 3), 100, np.uint8)})['img']
        >>> image.shape, image.dtype
        ((8, 8, 3), dtype('uint8'))
    """

    def __init__(
        self,
        gain: Sequence[float] = (0.7, 1.4),
        offset: Sequence[float] = (-0.1, 0.1),
        prob: float = 0.5,
        value_range: ValueRange = None,
    ) -> None:
        super().__init__(prob, value_range)
        self.gain = self._interval('gain', gain, np.finfo(np.float32).tiny)
        self.offset = self._interval('offset', offset, -1, 1)

    def augment(self, image: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
        gain = np.exp(rng.uniform(*np.log(self.gain)))
        mean = image.mean(dtype=np.float64)
        return mean + gain * (image - mean) + rng.uniform(*self.offset) * (high - low)


@TRANSFORMS.register_module()
class RandomPolarity(PixelAugmentation):
    """Black hot for white hot: ``low + high - x``.

    Also stands for day and night, when targets are colder or warmer than the ground. On uint8 images it equals
    mmdet's ``Invert``, which subtracts from 255 and wraps around on counts.

    Args:
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import RandomPolarity
        >>> image = RandomPolarity(prob=1.0)({'img': np.full((8, 8, 3), 100, np.uint8)})['img']
        >>> image.shape, image.dtype
        ((8, 8, 3), dtype('uint8'))
    """

    def augment(self, image: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
        return (low + high) - image


@TRANSFORMS.register_module()
class SensorNoise(PixelAugmentation):
    """Detector noise: temporal (NETD), and the fixed patterns of columns and rows; all Gaussian.

    Args:
        temporal: Interval of the standard deviation of each pixel's noise, as a fraction of the range.
        column: The same for the offsets between columns.
        row: The same for the offsets between rows.
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import SensorNoise
        >>> image = SensorNoise(prob=1.0)({'img': np.full((8, 8, 3), 100, np.uint8)})['img']
        >>> image.shape, image.dtype
        ((8, 8, 3), dtype('uint8'))
    """

    def __init__(
        self,
        temporal: Sequence[float] = (0.0, 0.02),
        column: Sequence[float] = (0.0, 0.01),
        row: Sequence[float] = (0.0, 0.005),
        prob: float = 0.5,
        value_range: ValueRange = None,
    ) -> None:
        super().__init__(prob, value_range)
        self.temporal = self._interval('temporal', temporal, 0, 1)
        self.column = self._interval('column', column, 0, 1)
        self.row = self._interval('row', row, 0, 1)

    def augment(self, image: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
        sigmas = [(high - low) * rng.uniform(*interval) for interval in (self.temporal, self.column, self.row)]
        return sensor.add_noise(image, *sigmas, rng)


@TRANSFORMS.register_module()
class DeadPixels(PixelAugmentation):
    """Defective pixels that the camera's list of them misses: dead ones at the low end, hot ones at the high end.

    Args:
        fraction: Interval of the part of all pixels that is defective; each is dead or hot with equal chance.
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import DeadPixels
        >>> image = DeadPixels(prob=1.0)({'img': np.full((8, 8, 3), 100, np.uint8)})['img']
        >>> image.shape, image.dtype
        ((8, 8, 3), dtype('uint8'))
    """

    def __init__(
        self, fraction: Sequence[float] = (0.0, 0.001), prob: float = 0.5, value_range: ValueRange = None
    ) -> None:
        super().__init__(prob, value_range)
        self.fraction = self._interval('fraction', fraction, 0, 1)

    def augment(self, image: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
        count = round(rng.uniform(*self.fraction) * image.size)
        where = rng.choice(image.size, count, replace=False, shuffle=False)
        image.flat[where] = rng.choice([low, high], count)
        return image


@TRANSFORMS.register_module()
class OpticsBlur(PixelAugmentation):
    """Optics out of focus, or of a longer wavelength and smaller aperture: Gaussian point spread function.

    Args:
        sigma: Interval of its standard deviation in pixels, above 0.
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import OpticsBlur
        >>> image = OpticsBlur(prob=1.0)({'img': np.full((8, 8, 3), 100, np.uint8)})['img']
        >>> image.shape, image.dtype
        ((8, 8, 3), dtype('uint8'))
    """

    def __init__(self, sigma: Sequence[float] = (0.3, 1.2), prob: float = 0.5, value_range: ValueRange = None) -> None:
        super().__init__(prob, value_range)
        self.sigma = self._interval('sigma', sigma, 0.01)

    def augment(self, image: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
        return sensor.blur(image, rng.uniform(*self.sigma))


@TRANSFORMS.register_module()
class Vignetting(PixelAugmentation):
    """Non-uniformity that the camera's correction leaves: darker corners, and a slope across the image.

    ``low + (x - low) * (1 - strength * r) + drift * range * s``, where ``r`` grows with the squared distance from 0 in
    the middle to 1 in the corners (optics), and ``s`` is a plane in a random direction, from -1 to 1 between the
    farthest corners (stray radiation of the housing).

    Args:
        strength: Interval of the part of the signal that the corners lack; below 0 they have more.
        drift: Interval of the slope's amplitude, as a fraction of the range.
        prob, value_range: See :class:`IRAugmentation`.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.transforms import Vignetting
        >>> image = Vignetting(prob=1.0)({'img': np.full((8, 8, 3), 100, np.uint8)})['img']
        >>> image.shape, image.dtype
        ((8, 8, 3), dtype('uint8'))
    """

    def __init__(
        self,
        strength: Sequence[float] = (0.0, 0.2),
        drift: Sequence[float] = (0.0, 0.05),
        prob: float = 0.5,
        value_range: ValueRange = None,
    ) -> None:
        super().__init__(prob, value_range)
        self.strength = self._interval('strength', strength, -1, 1)
        self.drift = self._interval('drift', drift, 0, 1)

    def augment(self, image: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
        height, width = image.shape
        angle = rng.uniform(0, 2 * np.pi)
        down, right = np.sin(angle), np.cos(angle)
        plane = down * np.linspace(-1, 1, height)[:, None] + right * np.linspace(-1, 1, width)[None]
        plane /= abs(down) + abs(right)
        shading = 1 - rng.uniform(*self.strength) * sensor.falloff(height, width)
        return low + (image - low) * shading + rng.uniform(*self.drift) * (high - low) * plane
