"""What the values of an image are: 8 bits or more, grey or colours, in the right byte order."""

import os
from collections.abc import Mapping

import cv2
import numpy as np

from ...fileio import kind_of_object

ARRAY = 'an array (numpy.ndarray; grey [H, W], or BGR [H, W, 3])'  # for messages
_EXACT_IN_FLOAT32 = 2**24
_SWAPPED = 8  # how much smoother an image becomes when wrong bytes are put right, at least


class SwappedBytesError(ValueError):
    """An image of 16 bits whose two bytes have changed places."""


def require_array(image: object, name: str | os.PathLike) -> np.ndarray:
    """An array as it was given.

    Raises:
        TypeError: If it is an image of another library, or no image.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f'image {name}: expected {ARRAY}, got {kind_of_object(image)}')
    return image


def depth_of(image: np.ndarray) -> str:
    """The depth of an image as it was read: ``'8'`` or ``'16'`` bits, or ``'float'``."""
    return {'uint8': '8', 'uint16': '16'}.get(image.dtype.name, 'float')


def in_words(depth: str) -> str:
    """A depth of :func:`depth_of` in words."""
    return 'floating-point values' if depth == 'float' else f'{depth} bits'


def require_one_depth(files: Mapping[str, str | os.PathLike], remedy: str) -> None:
    """Check that images for which there is going to be one window have one depth.

    Args:
        files: A file of each depth that was found.
        remedy: For the message.

    Raises:
        ValueError: If there are images of several depths: a window of the values of one suits no image of another.
    """
    if len(files) > 1:
        told = ' and '.join(f'{in_words(depth)} ({path})' for depth, path in files.items())
        raise ValueError(f'expected images of one depth for one window of values, got {told}; {remedy}')


def count_levels(image: np.ndarray) -> np.ndarray:
    """Number of pixels of each level.

    Args:
        image: uint8 or uint16, any shape.

    Returns:
        int64 ``[256]`` or ``[65536]``.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.images.values import count_levels
        >>> count_levels(np.array([[3, 3, 255]], np.uint8))[[0, 3, 255]]
        array([0, 2, 1])
    """
    levels = int(np.iinfo(image.dtype).max) + 1
    counts, pixels = np.zeros(levels, np.int64), image.reshape(-1)
    for first in range(0, pixels.size, _EXACT_IN_FLOAT32):  # (OpenCV counts in float32)
        part = pixels[first : first + _EXACT_IN_FLOAT32]
        counts += cv2.calcHist([part], [0], None, [levels], [0, levels]).ravel().astype(np.int64)
    return counts


def eight_bit_content(image: np.ndarray) -> str | None:
    """Tells an 8-bit picture in a 16-bit container from real counts.

    Args:
        image: uint16, any shape.

    Returns:
        What gives it away: no value above 255, or multiples of 256 or 257 only (bits shifted or repeated). ``None``
        for real counts, and for a constant image above 255, which could be either.
    """
    low, high = int(image.min()), int(image.max())
    if high <= 255:
        return f'no value exceeds {high}'
    for step in (256, 257):
        if low < high and not (image[:1] % step).any() and not (image % step).any():
            return f'all values are multiples of {step}'
    return None


def to_single_channel(image: np.ndarray, name: str | os.PathLike) -> np.ndarray:
    """Takes one of three equal channels.

    Args:
        image: ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        name: For the message.

    Returns:
        ``[H, W]``.

    Raises:
        ValueError: If the channels differ, as in a picture with a colour palette.
    """
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f'image {name}: expected shape (H, W), (H, W, 1) or (H, W, 3), got {image.shape}')
    first = np.ascontiguousarray(image[..., 0])
    for other in range(1, image.shape[2]):
        if not np.array_equal(first, image[..., other]):
            raise ValueError(
                f'image {name}: expected grey values (one channel, or three equal ones), got colours; a false-colour '
                f'picture cannot be turned back into intensities: export the recording without a palette'
            )
    return first


def repeat_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """``[H, W]`` to ``[H, W, 3]`` with equal channels for ``channels=3``; unchanged for ``channels=1``."""
    return image if channels == 1 else cv2.merge([image] * channels)


def sampled_rows(height: int) -> int:
    """Step between the rows, 64 to 127 of them, that ``looks_byte_swapped`` looks at; 1 for such rows alone."""
    return max(1, height // 64)


def looks_byte_swapped(image: np.ndarray) -> bool:
    """Tells 16-bit counts whose two bytes have changed places, as in the PNG files within FLIR R-JPEGs.

    Neighbouring pixels of a scene differ by little; with exchanged bytes they differ by multiples of 256.

    Args:
        image: uint16, ``[H, W]``.
    """
    rows = image[:: sampled_rows(len(image))]
    if rows.shape[1] < 8 or not (rows & 255).any():  # (multiples of 256 are 8 bits in disguise)
        return False
    step, other = (float(np.abs(np.diff(part.astype(np.int32))).mean()) for part in (rows, rows.byteswap()))
    return step > 128 and step > _SWAPPED * other


def check_bytes(image: np.ndarray, path: str | os.PathLike) -> None:
    """Refuses 16-bit counts whose two bytes have changed places.

    Args:
        image: uint16, ``[H, W]``.
        path: For the message.

    Raises:
        SwappedBytesError: If they have.
    """
    if looks_byte_swapped(image):
        raise SwappedBytesError(
            f'image {path}: the two bytes of its 16-bit values have changed places (as in the PNG files that '
            f'exiftool takes out of FLIR R-JPEGs): swap them, cv2.imwrite(path, image.byteswap())'
        )


def as_plain_type(image: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Turns an array of numbers into what ``read_infrared`` returns, without loss.

    Args:
        image: ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        path: For the messages.

    Raises:
        SwappedBytesError: If the bytes of 16-bit values have changed places.
        ValueError: As ``read_infrared`` does, for what is no image or not finite.
    """
    if image.size == 0:
        raise ValueError(f'image {path}: expected pixels, got an array of shape {image.shape}')
    if image.dtype.kind not in 'uif':
        raise ValueError(f'image {path}: expected integers or floating-point numbers, got {image.dtype}')
    if image.dtype == np.uint8:
        return image if image.ndim == 3 and image.shape[2] == 3 else to_single_channel(image, path)
    image = to_single_channel(image, path)
    if image.dtype.kind == 'f':
        with np.errstate(over='ignore'):
            converted = image.astype(np.float32, copy=False)
        finite = np.isfinite(converted)
        if not finite.all():
            raise ValueError(
                f'image {path}: {int((~finite).sum())} of {finite.size} values are NaN, infinite or beyond float32; '
                f'replace dead pixels by the mean of their neighbours when exporting'
            )
        return converted
    if image.dtype == np.uint16:
        check_bytes(image, path)
        return image
    low, high = int(image.min()), int(image.max())
    if low >= 0 and high <= np.iinfo(np.uint16).max:
        return image.astype(np.uint16)
    if max(-low, high) <= _EXACT_IN_FLOAT32:
        return image.astype(np.float32)
    raise ValueError(f'image {path}: expected values within +-{_EXACT_IN_FLOAT32}, got {low} to {high}')
