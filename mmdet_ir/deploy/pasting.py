"""Masks of the image from the mask head's grids over boxes."""

import torch
from torch import Tensor

from .sizes import Size


def paste_masks(masks: Tensor, boxes: Tensor, height: Size, width: Size) -> Tensor:
    """Bilinear resampling of each grid over its box; 0 outside.

    The bilinear weights of rows and of columns are separate matrices, so that two matrix products replace the
    sampling grid ``[D, H, W, 2]`` of MMDetection, with the same values.

    Args:
        masks: ``[D, m, m]``, probabilities.
        boxes: ``[D, 4]`` xyxy in pixels of the image.
        height: Of the image.
        width: Of the image.

    Returns:
        ``[D, height, width]``, probabilities.
    """
    rows = _weights(boxes[:, 1], boxes[:, 3], height, masks.shape[1])
    columns = _weights(boxes[:, 0], boxes[:, 2], width, masks.shape[2])
    return rows @ masks @ columns.transpose(1, 2)


def _weights(low: Tensor, high: Tensor, length: Size, cells: int) -> Tensor:
    """Weight of each cell for each pixel, ``[D, length, cells]``."""
    pixels = torch.arange(length, device=low.device, dtype=low.dtype) + 0.5
    extent = (high - low).clamp(min=1e-6)[:, None]  # (a box without area gets an empty mask)
    place = (pixels - low[:, None]) / extent * cells - 0.5
    return (1 - (place[..., None] - torch.arange(cells, device=low.device)).abs()).clamp(min=0)
