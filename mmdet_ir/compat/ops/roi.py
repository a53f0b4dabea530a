"""RoIAlign and RoIPool with mmcv's signatures: results are written into the given outputs."""

import torch
from torch import Tensor

from . import roi_align_cpu
from ._dtype import upcast


def _require_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(
            "RoIAlign with pool_mode='max' needs mmcv's compiled operators; use pool_mode='avg' (the default)"
        )


def _order_matters(grad: Tensor) -> bool:
    """Whether deterministic results are asked for where torchvision's kernel adds in any order, as on GPUs.

    The CPU then does the sum, which takes longer and is the same each time.
    """
    return grad.device.type == 'cuda' and torch.are_deterministic_algorithms_enabled()


def _on_the_map(rois: Tensor) -> tuple[Tensor, Tensor | None]:
    """RoIs that the kernel can take, and which ones were not finite, (R,), or None.

    torchvision's kernel for the CPU turns coordinates into addresses without a look at NaN, and crashes the process.
    On other devices NaN passes through to the result, and the check would have to wait for the device.
    """
    if rois.device.type != 'cpu':
        return rois, None
    invalid = ~rois.isfinite().all(dim=1)
    if not invalid.any():
        return rois, None
    return rois.masked_fill(invalid[:, None], 0), invalid


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
        output: Written in place; NaN for a RoI that is not finite.
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
    boxes, invalid = _on_the_map(boxes)
    sampling = roi_align_cpu.Sampling(aligned_height, aligned_width, spatial_scale, sampling_ratio, aligned)
    if roi_align_cpu.fits(features, boxes, sampling) and roi_align_cpu.pays(features, boxes, sampling):
        roi_align_cpu.forward(features, boxes, output, sampling)
    else:
        output.copy_(
            torch.ops.torchvision.roi_align(
                features, boxes, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
            )
        )
    if invalid is not None:
        output[invalid] = float('nan')


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
    if _order_matters(grad_output):
        on_cpu = grad_input.new_zeros(grad_input.shape, device='cpu')
        arguments = (aligned_height, aligned_width, spatial_scale, sampling_ratio, pool_mode, aligned)
        roi_align_backward(grad_output.cpu(), rois.cpu(), argmax_y, argmax_x, on_cpu, *arguments)
        grad_input.add_(on_cpu.to(grad_input.device))
        return
    grad, boxes = upcast(grad_output, rois)
    boxes, _ = _on_the_map(boxes)
    sampling = roi_align_cpu.Sampling(aligned_height, aligned_width, spatial_scale, sampling_ratio, aligned)
    if grad_input.dtype is grad.dtype and roi_align_cpu.fits(grad_input, boxes, sampling):
        roi_align_cpu.backward(grad, boxes, grad_input, sampling)
        return
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


def _bin_cells(start: Tensor, stop: Tensor, bins: int, limit: int) -> tuple[Tensor, Tensor, list[int]]:
    """First cell and number of cells of each bin, (R, bins), within the map; and the longest bin of each RoI."""
    edges = torch.arange(bins + 1, device=start.device) * ((stop - start) / bins)[:, None] + start[:, None]
    first = edges[:, :-1].floor().clamp(0, limit).long()
    count = edges[:, 1:].ceil().clamp(0, limit).long() - first
    return first, count, count.amax(dim=1).tolist()


def _cells_of_roi(first: Tensor, count: Tensor, longest: int) -> Tensor:
    """(bins, longest) cells; a shorter bin repeats its last cell, which leaves its maximum as it is."""
    steps = torch.arange(longest, device=first.device)
    return first[:, None] + steps.minimum((count[:, None] - 1).clamp(min=0))


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
    left, columns, widest = _bin_cells(low[:, 0], high[:, 0], pooled_width, width)
    top, rows, tallest = _bin_cells(low[:, 1], high[:, 1], pooled_height, height)
    filled = (high > low).all(dim=1)[:, None, None] & (rows > 0)[:, :, None] & (columns > 0)[:, None, :]
    output.zero_()
    argmax.fill_(-1)
    for roi in filled.flatten(1).any(dim=1).nonzero().flatten().tolist():
        y = _cells_of_roi(top[roi], rows[roi], tallest[roi]).clamp(max=height - 1)
        x = _cells_of_roi(left[roi], columns[roi], widest[roi]).clamp(max=width - 1)
        cells = (y[:, None, :, None] * width + x[None, :, None, :]).flatten(2)
        values, best = input[images[roi]].flatten(1)[:, cells].max(dim=-1)
        places = cells.expand(len(values), -1, -1, -1).gather(-1, best[..., None]).squeeze(-1)
        output[roi] = torch.where(filled[roi], values, 0)
        argmax[roi] = torch.where(filled[roi], places, -1).to(argmax.dtype)


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
