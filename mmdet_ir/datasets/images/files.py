"""Image files in folders, and what kind of pixels they hold."""

from pathlib import Path

import numpy as np

from .values import eight_bit_content

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.npy')


def find_images(folder: Path) -> list[Path]:
    """Image files below ``folder``, sorted by path; hidden ones are no images."""
    return sorted(p for p in folder.rglob('*') if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith('.'))


def is_eight_bit(image: np.ndarray) -> bool:
    """Whether an image (uint8, uint16 or float32) holds 8-bit levels only, whatever its type."""
    return image.dtype == np.uint8 or (image.dtype == np.uint16 and eight_bit_content(image) is not None)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """``[H, W]`` 8-bit grey levels; other types are stretched between the 0.1 and the 99.9 percentile."""
    if image.ndim == 3:  # colours have 8 bits
        return image.mean(axis=-1).astype(np.uint8)
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, (0.1, 99.9))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)
