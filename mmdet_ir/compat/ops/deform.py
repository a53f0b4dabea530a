"""Deformable convolution (v1 and v2) with mmcv's signatures; both libraries order offsets as y, x per kernel cell."""

import torch
from torch import Tensor

from ._dtype import upcast


def _geometry(
    stride: tuple[int, int], pad: tuple[int, int], dilation: tuple[int, int], groups: int, deform_groups: int
) -> tuple[int, ...]:
    """Arguments as torchvision's kernel takes them, each pair as (y, x)."""
    return (*stride, *pad, *dilation, groups, deform_groups)


def _finite_offset(offset: Tensor) -> tuple[Tensor, bool]:
    """An offset that the kernel can take, and whether there was NaN in it.

    torchvision's kernel for the CPU turns coordinates into addresses without a look at NaN, and crashes the process.
    On other devices NaN passes through to the result, and the check would have to wait for the device.
    """
    if offset.device.type != 'cpu' or not offset.isnan().any():
        return offset, False
    return offset.nan_to_num(nan=0.0), True


def _forward(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, geometry: tuple[int, ...]
) -> Tensor:
    used = mask is not None
    mask = mask if used else input.new_zeros(len(input), 1)
    bias = bias if bias is not None else input.new_zeros(len(weight))
    finite, broken = _finite_offset(offset)
    tensors = upcast(input, weight, finite, mask, bias)
    output = torch.ops.torchvision.deform_conv2d(*tensors, *geometry, used)
    return output + (offset * 0).sum(1, keepdim=True) if broken else output


def _backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, geometry: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Gradients of input, weight, offset, mask and bias."""
    used = mask is not None
    mask = mask if used else input.new_zeros(len(input), 1)
    tensors = upcast(grad_output, input, weight, _finite_offset(offset)[0], mask, input.new_zeros(len(weight)))
    return torch.ops.torchvision._deform_conv2d_backward(*tensors, *geometry, used)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fills ``output`` (N, O, h, w) with the convolution of ``input`` (N, C, H, W) at displaced cells.

    Args:
        input: Features.
        weight: (O, C / group, kH, kW).
        offset: (N, deformable_group * kH * kW * 2, h, w), y and x in cells.
        output: Written in place.
        columns: mmcv's work space, not needed.
        ones: mmcv's work space, not needed.
        kW: Kernel width, as in ``weight``.
        kH: Kernel height, as in ``weight``.
        dW: Stride in x.
        dH: Stride in y.
        padW: Padding in x.
        padH: Padding in y.
        dilationW: Dilation in x.
        dilationH: Dilation in y.
        group: Groups of channels in the convolution.
        deformable_group: Groups of channels that share an offset.
        im2col_step: Images a call of mmcv's kernel; the result does not depend on it.
    """
    geometry = _geometry((dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group)
    output.copy_(_forward(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Writes ``grad_offset`` and adds to ``grad_input``; arguments as in :func:`deform_conv_forward`."""
    geometry = _geometry((dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group)
    gradients = _backward(grad_output, input, weight, offset, None, geometry)
    grad_input.add_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Adds ``scale`` times the gradient to ``grad_weight``; arguments as in :func:`deform_conv_forward`."""
    geometry = _geometry((dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group)
    # The gradient of the weight does not depend on the weight's values.
    gradients = _backward(grad_output, input, torch.zeros_like(grad_weight), offset, None, geometry)
    grad_weight.add_(gradients[1], alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """As :func:`deform_conv_forward`, with ``bias``, and each sample times ``mask``.

    ``mask`` is (N, deformable_group * kernel_h * kernel_w, h, w).
    """
    geometry = _geometry((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w), group, deformable_group)
    output.copy_(_forward(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Writes ``grad_offset`` and ``grad_mask``, adds to ``grad_input``, ``grad_weight`` and ``grad_bias``."""
    geometry = _geometry((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w), group, deformable_group)
    gradients = _backward(grad_output, input, weight, offset, mask, geometry)
    grad_input.add_(gradients[0])
    grad_weight.add_(gradients[1])
    grad_offset.copy_(gradients[2])
    grad_mask.copy_(gradients[3])
    if with_bias:
        grad_bias.add_(gradients[4])
