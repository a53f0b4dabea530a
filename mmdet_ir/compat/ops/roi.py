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


def _bin_edges(start: Tensor, stop: Tensor, bins: int, limit: int) -> tuple[list[list[int]], list[list[int]]]:
    """First cell and cell after the last of each bin, (R, bins), clipped to the feature map."""
    steps = torch.arange(bins + 1, device=start.device, dtype=start.dtype)
    edges = steps * ((stop - start) / bins)[:, None] + start[:, None]
    first = edges[:, :-1].floor().clamp(0, limit).long()
    last = edges[:, 1:].ceil().clamp(0, limit).long()
    return first.tolist(), last.tolist()


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fills ``output`` (R, C, pooled_height, pooled_width) with the maximum of each bin of ``input`` (N, C, H, W).

    mmcv does not round the RoI to cells before it is divided into bins, as torchvision does; so torchvision's kernel
    would give other values, and the bins are reduced here.

    Args:
        input: Features.
        rois: (R, 5), image index and xyxy in image pixels; both corner pixels belong to the RoI.
        output: Written in place; 0 for a bin without cells.
        argmax: (R, C, pooled_height, pooled_width) int32, written in place: the cell ``y * W + x``, -1 without one.
        pooled_height: Bins in y.
        pooled_width: Bins in x.
        spatial_scale: Feature cells per image pixel.
    """
    height, width = input.shape[-2:]
    images, boxes = rois[:, 0].long().tolist(), upcast(rois)[0]
    low, high = boxes[:, 1:3] * spatial_scale, (boxes[:, 3:5] + 1) * spatial_scale
    malformed = (high <= low).any(dim=1)
    columns = _bin_edges(low[:, 0], high[:, 0], pooled_width, width)
    rows = _bin_edges(low[:, 1], high[:, 1], pooled_height, height)
    cells = torch.arange(height * width, device=input.device).view(height, width)
    output.zero_()
    argmax.fill_(-1)
    for roi in torch.nonzero(~malformed).flatten().tolist():
        for y, (top, bottom) in enumerate(zip(rows[0][roi], rows[1][roi], strict=True)):
            for x, (left, right) in enumerate(zip(columns[0][roi], columns[1][roi], strict=True)):
                if bottom <= top or right <= left:
                    continue
                values, places = input[images[roi], :, top:bottom, left:right].flatten(1).max(dim=1)
                output[roi, :, y, x] = values
                argmax[roi, :, y, x] = cells[top:bottom, left:right].flatten()[places].to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Adds each bin's gradient to the cell of ``grad_input`` (N, C, H, W) that it came from."""
    images, channels, height, width = grad_input.shape
    planes = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    places = planes[:, :, None, None] * (height * width) + argmax
    filled = argmax >= 0
    total = torch.zeros(images * channels * height * width, device=grad_output.device, dtype=grad_output.dtype)
    total.index_add_(0, places[filled], grad_output[filled])
    grad_input.add_(total.view_as(grad_input))
