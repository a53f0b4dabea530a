"""How far targets stand out from their surroundings: the local signal-to-clutter ratio."""

import cv2
import numpy as np

from ..cli.choices import RING_WIDTH

_FEWEST = 2  # pixels of a ring that has a spread


def signal_to_clutter(
    image: np.ndarray, masks: np.ndarray, targets: np.ndarray, ring_width: int = RING_WIDTH, *, signed: bool = False
) -> np.ndarray:
    """Local signal-to-clutter ratio ``|mean of the target - mean of its ring| / standard deviation of the ring``.

    The definition is the usual one for small infrared targets: Gao et al., "Infrared Patch-Image Model for Small
    Target Detection in a Single Image", IEEE Transactions on Image Processing 22(12), 2013, where the surroundings of
    a target of a x b pixels are the rectangle of (a + 2d) x (b + 2d) around it. Here the ring follows the mask (all
    pixels within d rows and d columns of it, which is that rectangle if the mask is one), and leaves out the pixels
    of all targets, so that a neighbour is not taken for clutter. The ratio does not change with gain or offset of the
    image.

    Args:
        image: Values of one channel, shape (H, W), any type.
        masks: What to measure, targets or detections, bool or uint8, shape (N, H, W).
        targets: Pixels of any annotated target or ignored region, bool, shape (H, W).
        ring_width: The d above, in pixels.
        signed: Whether the ratio of what is darker than its surroundings is negative.

    Returns:
        Shape (N,), float64, from 0 on unless signed. Infinite where the ring has one value only and the target
        another, 0 if it has the same; NaN where the mask is empty or the ring has less than two pixels.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.evaluation import signal_to_clutter
        >>> image = np.where(np.indices((9, 9)).sum(axis=0) % 2, 98.0, 102.0)  # mean 100, deviation 2
        >>> mask = np.zeros((1, 9, 9), bool)
        >>> mask[0, 4:6, 4:6] = True
        >>> image[mask[0]] = 90.0
        >>> print(signal_to_clutter(image, mask, mask[0], ring_width=2, signed=True).round(2))
        [-5.]
    """
    ratios = np.full(len(masks), np.nan)
    kernel = np.ones((2 * ring_width + 1, 2 * ring_width + 1), np.uint8)
    height, width = image.shape
    for i, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            continue
        window = (
            slice(max(0, rows[0] - ring_width), min(height, rows[-1] + ring_width + 1)),
            slice(max(0, columns[0] - ring_width), min(width, columns[-1] + ring_width + 1)),
        )
        inside = np.ascontiguousarray(mask[window], np.uint8)
        near = cv2.dilate(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        inside = inside.astype(bool)
        ring = near.astype(bool) & ~inside & ~targets[window]
        pixels = image[window].astype(np.float64)
        clutter = pixels[ring]
        if clutter.size < _FEWEST:
            continue
        difference = pixels[inside].mean() - clutter.mean()
        difference = difference if signed else abs(difference)
        # of a constant ring, the computed deviation and difference may be off zero by rounding
        spread = 0.0 if clutter.min() == clutter.max() else clutter.std()
        if spread:
            ratios[i] = difference / spread
        else:
            differs = difference and (pixels[inside] != clutter[0]).any()
            ratios[i] = np.copysign(np.inf, difference) if differs else 0.0
    return ratios
