"""RoIAlign on CPUs as sums of weighted rows, several times as fast as torchvision's kernel there.

torchvision visits the cells of a bin anew in the plane of every channel, in one thread. The weights of a bin's cells
are the same for all channels, so here a cell's channels lie side by side, and a bin is a weighted sum of such rows:
``embedding_bag``, which is vectorised and uses all threads. Samples that fall between the same cells are merged first;
the weights of rows and columns are independent, so each axis is worked out for itself. Results differ from
torchvision's by the order of summation only.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor

_MIN_CHANNELS = 32  # with fewer the indices cost more than they save
_MAX_CELLS = 4096  # along a side of a RoI: adaptive samples are as many
_BINS = 12544  # at a time, so that indices and rows stay small


class Sampling(NamedTuple):
    """Settings of RoIAlign: bins in y and x, feature cells per pixel, samples a bin (0: adaptive), half-cell shift."""

    height: int
    width: int
    scale: float
    ratio: int
    aligned: bool


class _Cells(NamedTuple):
    """Which cells make up each bin of a list of them: begin of each bin's part, cells and their weights."""

    offsets: Tensor
    cells: Tensor
    weights: Tensor


def fits(features: Tensor, rois: Tensor, sampling: Sampling) -> bool:
    """Whether this way is open, and worth it.

    It takes float32 on the CPU, many channels, RoIs of a reasonable size (``features`` is the map, or its gradient),
    and a call that is not being traced or compiled.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    if features.device.type != 'cpu' or features.dtype is not torch.float32 or features.shape[1] < _MIN_CHANNELS:
        return False
    sides = rois[:, 3:] - rois[:, 1:3]
    return not len(rois) or float(sides.max()) * sampling.scale <= _MAX_CELLS


def pays(features: Tensor, rois: Tensor, sampling: Sampling) -> bool:
    """Whether there are so many bins that it is worth turning the map, where that is needed (forward only)."""
    turned = features.is_contiguous(memory_format=torch.channels_last)
    cells = features.shape[0] * features.shape[2] * features.shape[3]
    return turned or 4 * len(rois) * sampling.height * sampling.width >= cells


def forward(features: Tensor, rois: Tensor, output: Tensor, sampling: Sampling) -> None:
    """Fills ``output`` (R, C, height, width) from ``features`` (N, C, H, W); ``rois`` (R, 5) as mmcv has them."""
    shape, channels = features.shape, features.shape[1]
    rows = features.flatten(2).transpose(1, 2).contiguous().view(-1, channels)
    step = max(1, _BINS // (sampling.height * sampling.width))
    for start in range(0, len(rois), step):
        part = rois[start : start + step]
        found = _sum_rows(rows, _find_cells(part, shape, sampling))
        output[start : start + step] = found.view(-1, sampling.height, sampling.width, channels).permute(0, 3, 1, 2)


def backward(grad_output: Tensor, rois: Tensor, grad_input: Tensor, sampling: Sampling) -> None:
    """Adds to ``grad_input`` (N, C, H, W) the gradient of ``grad_output`` (R, C, height, width)."""
    if not len(rois):
        return
    images, channels, height, width = grad_input.shape
    offsets, cells, weights = _find_cells(rois, grad_input.shape, sampling)
    bins = len(rois) * sampling.height * sampling.width
    ends = torch.cat((offsets, offsets.new_tensor([len(cells)])))
    # by cell instead of by bin
    matrix = csr_array((weights.numpy(), cells.numpy(), ends.numpy()), (bins, images * height * width)).tocsc()
    by_cell = _Cells(*(torch.from_numpy(values) for values in (matrix.indptr[:-1], matrix.indices, matrix.data)))
    rows = grad_output.permute(0, 2, 3, 1).reshape(bins, channels).contiguous()
    grad_input.add_(_sum_rows(rows, by_cell).view(images, height, width, channels).permute(0, 3, 1, 2))


def _sum_rows(rows: Tensor, bins: _Cells) -> Tensor:
    """Weighted sums of ``rows`` ``[cells, C]``, ``[bins, C]``."""
    if not len(bins.cells):
        return rows.new_zeros(len(bins.offsets), rows.shape[1])
    with torch.no_grad():
        return F.embedding_bag(bins.cells, rows, bins.offsets, mode='sum', per_sample_weights=bins.weights)


def _find_cells(rois: Tensor, shape: torch.Size, sampling: Sampling) -> _Cells:
    """Cells of all bins, in the order of RoI, row and column; a cell's number is that in ``[N, H, W]``."""
    height, width = shape[2:]
    first_y, count_y, weight_y, samples_y = _find_axis(rois[:, 2], rois[:, 4], sampling.height, height, sampling)
    first_x, count_x, weight_x, samples_x = _find_axis(rois[:, 1], rois[:, 3], sampling.width, width, sampling)
    weight_y = weight_y / (samples_y * samples_x).clamp(min=1)[:, None, None]
    bins = torch.arange(len(rois) * sampling.height * sampling.width)
    along_y = bins // sampling.width  # number of the bin's row among all RoIs' rows, and of its column
    along_x = bins // (sampling.height * sampling.width) * sampling.width + bins % sampling.width
    columns = count_x.flatten()[along_x]
    counts = count_y.flatten()[along_y] * columns
    ends = counts.cumsum(0)
    offsets = ends - counts
    bin_of = torch.repeat_interleave(bins, counts)
    place = torch.arange(len(bin_of)) - offsets[bin_of]
    row = torch.div(place, columns[bin_of], rounding_mode='floor')
    column = place - row * columns[bin_of]
    image = rois[:, 0].long().repeat_interleave(sampling.height * sampling.width) * height
    corner = (image + first_y.flatten()[along_y]) * width + first_x.flatten()[along_x]
    cells = corner[bin_of] + row * width + column
    weights = weight_y.flatten()[(along_y * weight_y.shape[2])[bin_of] + row]
    weights = weights * weight_x.flatten()[(along_x * weight_x.shape[2])[bin_of] + column]
    return _Cells(offsets.int(), cells.int(), weights)


def _find_axis(
    low: Tensor, high: Tensor, bins: int, length: int, sampling: Sampling
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cells of the bins along one axis.

    Args:
        low: ``[R]``, where the RoIs begin, in pixels.
        high: ``[R]``, where they end.
        bins: Of each RoI.
        length: Of the feature map, in cells.
        sampling: Settings.

    Returns:
        First cell and number of cells of each bin, ``[R, bins]``; their weights, summed over the samples, ``[R, bins,
        most]``; samples of each RoI's bins, ``[R]``.
    """
    begin = low * sampling.scale - (0.5 if sampling.aligned else 0.0)
    extent = high * sampling.scale - (0.5 if sampling.aligned else 0.0) - begin
    if not sampling.aligned:
        extent = extent.clamp(min=1)
    size = extent / bins
    samples = size.ceil() if sampling.ratio <= 0 else torch.full_like(size, sampling.ratio)
    number = torch.arange(int(samples.max().clamp(min=0)) if len(samples) else 0)
    at = begin[:, None, None] + torch.arange(bins)[:, None] * size[:, None, None]
    at = at + (number + 0.5) * size[:, None, None] / samples.clamp(min=1)[:, None, None]
    inside = (at >= -1) & (at <= length) & (number < samples[:, None, None])
    at = at.clamp(0, length - 1)
    cell = at.long().clamp(max=max(length - 2, 0))  # (the last cell has the weight of its left neighbour's right side)
    share = at - cell
    # of bins with samples in the map; others have no cells
    first = torch.where(inside, cell, length).amin(dim=2) if len(number) else cell.new_zeros(len(low), bins)
    last = torch.where(inside, cell + 1, -1).amax(dim=2) if len(number) else cell.new_full((len(low), bins), -1)
    count = (last.clamp(max=length - 1) - first + 1).clamp(min=0)
    weights = at.new_zeros(len(low), bins, max(1, int(count.max()) if len(low) else 0) + 1)
    place = torch.where(inside, cell - first[..., None], 0)
    weights.scatter_add_(2, place, torch.where(inside, 1 - share, 0.0))
    weights.scatter_add_(2, place + 1, torch.where(inside, share, 0.0))
    return first.clamp(max=length - 1), count, weights, samples.clamp(min=0)
