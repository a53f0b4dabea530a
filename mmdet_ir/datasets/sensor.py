"""An uncooled microbolometer: optics, detector noise, 14-bit counts, and the camera's automatic gain."""

from dataclasses import dataclass

import cv2
import numpy as np

MAX_COUNT = 2**14 - 1


@dataclass(frozen=True)
class SensorSettings:
    """What the camera does to a scene.

    Attributes:
        blur: standard deviation of the optics' point spread function, pixels.
        gain: counts a Kelvin.
        offset: counts at 0 degrees Celsius.
        noise: standard deviation of the temporal noise (NETD), Kelvin.
        column_noise: standard deviation of the fixed pattern between columns, Kelvin.
        row_noise: standard deviation of the fixed pattern between rows, Kelvin.
        pixel_noise: standard deviation of each pixel's own offset, Kelvin.
        vignetting: signal that the corners lack, Kelvin.

    Example:
        >>> from mmdet_ir.datasets.synthetic import SensorSettings
        >>> SensorSettings(gain=50.0).gain
        50.0
    """

    blur: float = 0.7
    gain: float = 40.0
    offset: float = 5000.0
    noise: float = 0.08
    column_noise: float = 0.05
    row_noise: float = 0.01
    pixel_noise: float = 0.02
    vignetting: float = 0.5


def random_settings(rng: np.random.Generator) -> SensorSettings:
    """Draw a plausible camera."""
    return SensorSettings(
        blur=rng.uniform(0.5, 0.95),
        gain=rng.uniform(25, 60),
        offset=rng.uniform(3500, 6500),
        noise=rng.uniform(0.04, 0.2),
        column_noise=rng.uniform(0.01, 0.07),
        row_noise=rng.uniform(0.0, 0.04),
        pixel_noise=rng.uniform(0.01, 0.06),
        vignetting=rng.uniform(0.0, 1.0),
    )


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """The optics: a Gaussian point spread function.

    Args:
        image: float32 [H, W].
        sigma: standard deviation, pixels, above 0.
    """
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def falloff(height: int, width: int) -> np.ndarray:
    """Vignetting: grows with the squared distance, 0 in the middle and 1 in the corners, float64 [H, W]."""
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return (rows**2 + columns**2) / 2


def add_noise(image: np.ndarray, temporal: float, column: float, row: float, rng: np.random.Generator) -> np.ndarray:
    """The detector: fixed patterns of columns and rows, and what differs from pixel to pixel.

    Args:
        image: float [H, W]; not changed.
        temporal: standard deviation of each pixel's own noise, in the image's unit, as are the following.
        column: standard deviation of the offsets between columns.
        row: standard deviation of the offsets between rows.
        rng: source of randomness.

    Returns:
        float64 [H, W].
    """
    height, width = image.shape
    noisy = image + column * rng.standard_normal((1, width))
    noisy += row * rng.standard_normal((height, 1))
    noisy += temporal * rng.standard_normal((height, width), dtype=np.float32)
    return noisy


def to_counts(temperature: np.ndarray, settings: SensorSettings, rng: np.random.Generator) -> np.ndarray:
    """Temperatures, degrees Celsius [H, W], to counts, uint16 [H, W], 0 to 16383.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.synthetic import SensorSettings, to_counts
        >>> counts = to_counts(np.full((8, 8), 20.0, np.float32), SensorSettings(), np.random.default_rng(0))
        >>> counts.dtype, counts.shape
        (dtype('uint16'), (8, 8))
    """
    signal = blur(temperature.astype(np.float32), settings.blur)
    signal = signal - settings.vignetting * falloff(*signal.shape)
    grain = np.hypot(settings.noise, settings.pixel_noise)  # alike in a single frame
    signal = add_noise(signal, grain, settings.column_noise, settings.row_noise, rng)
    return np.clip(np.rint(settings.offset + settings.gain * signal), 0, MAX_COUNT).astype(np.uint16)


def stretch(counts: np.ndarray, low: float = 0.5, high: float = 99.7) -> np.ndarray:
    """The camera's automatic gain: counts between two percentiles to 8 bits, uint8 [H, W].

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.synthetic import stretch
        >>> stretch(np.array([[0, 500, 1000]], np.uint16), low=0, high=100)
        array([[  0, 128, 255]], dtype=uint8)
    """
    darkest, brightest = np.percentile(counts, [low, high])
    scaled = (counts.astype(np.float32) - darkest) * (255 / max(brightest - darkest, 1))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
