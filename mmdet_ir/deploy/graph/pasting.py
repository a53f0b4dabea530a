"""Masks of the image from the mask head's grids over boxes."""

import numpy as np
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
    rows = _weights(boxes[:, 1], boxes[:, 3], torch.arange(height, device=boxes.device), masks.shape[1])
    columns = _weights(boxes[:, 0], boxes[:, 2], torch.arange(width, device=boxes.device), masks.shape[2])
    return rows @ masks @ columns.transpose(1, 2)


def paste_binary_masks(masks: np.ndarray, boxes: np.ndarray, height: int, width: int, threshold: float) -> np.ndarray:
    """``paste_masks(...) >= threshold`` outside of a graph, where only the pixels of a box need be looked at.

    Args:
        masks: ``[D, m, m]``, float32 probabilities.
        boxes: ``[D, 4]`` xyxy in pixels of the image, float32.
        height: Of the image.
        width: Of the image.
        threshold: Smallest probability of a mask's pixels.

    Returns:
        bool ``[D, height, width]``.
    """
    grids, (low, high) = torch.as_tensor(masks), torch.as_tensor(boxes).split(2, 1)
    # A cell reaches half its size beyond the box, and a pixel's centre lies half a pixel behind its number.
    reach = (high - low) / (2 * torch.tensor(grids.shape[:0:-1])) + 1.5
    limit = torch.tensor([width, height])
    first = (low - reach).floor().clamp(min=0).minimum(limit).long().tolist()
    last = (high + reach).ceil().clamp(min=0).minimum(limit).long().tolist()
    pasted = np.full((len(grids), height, width), threshold <= 0)
    for i, ((left, top), (right, bottom)) in enumerate(zip(first, last, strict=True)):
        one = slice(i, i + 1)
        rows = _weights(low[one, 1], high[one, 1], torch.arange(top, bottom), grids.shape[1])[0]
        columns = _weights(low[one, 0], high[one, 0], torch.arange(left, right), grids.shape[2])[0]
        pasted[i, top:bottom, left:right] = (rows @ grids[i] @ columns.T >= threshold).numpy()
    return pasted


def _weights(low: Tensor, high: Tensor, pixels: Tensor, cells: int) -> Tensor:
    """Weight of each cell for each of ``pixels``, ``[D, pixels, cells]``."""
    extent = (high - low).clamp(min=1e-6)[:, None]  # (a box without area gets an empty mask)
    place = (pixels.to(low.dtype) + 0.5 - low[:, None]) / extent * cells - 0.5
    return (1 - (place[..., None] - torch.arange(cells, device=low.device)).abs()).clamp(min=0)
