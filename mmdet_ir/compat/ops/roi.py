"""RoIAlign and RoIPool with mmcv's signatures: results are written into the given outputs."""

import torch
from torch import Tensor

from ._dtype import upcast


def _require_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(
            "RoIAlign with pool_mode='max' needs mmcv's compiled operators; use pool_mode='avg' (the default)"
        )


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fills ``output`` (R, C, aligned_height, aligned_width) from ``input`` (N, C, H, W).

    Args:
        input: Features.
        rois: (R, 5), image index and xyxy in image pixels.
        output: Written in place.
        argmax_y: Used by max pooling only.
        argmax_x: Used by max pooling only.
        aligned_height: Bins in y.
        aligned_width: Bins in x.
        spatial_scale: Feature cells per image pixel.
        sampling_ratio: Samples a bin in each direction; 0 takes ``ceil(roi size / bins)``.
        pool_mode: 1 for average, 0 for max (not available).
        aligned: Whether coordinates are shifted by half a cell.

    Raises:
        NotImplementedError: For max pooling.
    """
    _require_average(pool_mode)
    features, boxes = upcast(input, rois)
    output.copy_(
        torch.ops.torchvision.roi_align(
            features, boxes, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Adds the gradient to ``grad_input`` (N, C, H, W); arguments as in :func:`roi_align_forward`."""
    _require_average(pool_mode)
    grad, boxes = upcast(grad_output, rois)
    grad_input.add_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            boxes,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )
