"""The same computation on the GPU and in float32 on the CPU, forward and backward."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import mmdet_ir  # noqa: F401  (registers what the tests build)

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / 'test_configs'))  # its building.py
ON_CPU = os.environ.get('MMDET_IR_GPU_TESTS') == 'cpu'  # a rehearsal of these tests where there is no GPU
DEVICE = 'cpu' if ON_CPU else 'cuda'
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
# In units of the largest value; sums of a few hundred products, whose terms are rounded in the low types.
TOLERANCES = {torch.float32: 2e-4, torch.float16: 2e-2, torch.bfloat16: 1.2e-1}


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def close(got: Tensor, expected: Tensor, dtype: torch.dtype, what: str) -> None:
    """Compares to within the type's tolerance of the largest value."""
    assert got.shape == expected.shape, what
    got, expected = got.detach().cpu().double(), expected.detach().cpu().double()
    assert torch.isfinite(got).all(), f'{what}: not finite'
    scale = max(float(expected.abs().max()), 1e-6) if expected.numel() else 1.0
    worst = float((got - expected).abs().max()) / scale if expected.numel() else 0.0
    assert worst <= TOLERANCES[dtype], f'{what}: differs by {worst:.2g} of the largest value {scale:.3g}'


def agree(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Sequence[Tensor],
    dtype: torch.dtype = torch.float32,
    layout: torch.memory_format = torch.contiguous_format,
    module: torch.nn.Module | None = None,
) -> None:
    """Holds results and gradients on the device against float32 on the CPU, for the same rounded numbers.

    Args:
        function: Takes the inputs, after ``module`` if there is one.
        inputs: Float32 on the CPU; those of four axes get the layout.
        dtype: In which the device computes.
        layout: Of maps.
        module: Whose parameters are compared as well.
    """
    results = []
    upstream: list[Tensor] = []
    for device, kind in (('cpu', torch.float32), (DEVICE, dtype)):
        leaves = []
        for value in inputs:
            leaf = value.to(dtype).to(device, kind)
            on_device = (device, kind) != ('cpu', torch.float32)
            leaf = leaf.contiguous(memory_format=layout) if leaf.dim() == 4 and on_device else leaf.contiguous()
            leaves.append(leaf.clone(memory_format=torch.preserve_format).requires_grad_())
        given = leaves
        if module is not None:
            # (the reference gets the rounded weights)
            module = module.to(dtype).to(device, kind)
            module.to(memory_format=layout if kind is dtype and device == DEVICE else torch.contiguous_format)
            module.zero_grad()
            given = [module, *leaves]
        outputs = function(*given)
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        if not upstream:
            upstream = [random(*output.shape, seed=9 + i) for i, output in enumerate(outputs)]
        total = sum((output.float() * g.to(device)).sum() for output, g in zip(outputs, upstream, strict=True))
        total.backward()
        grads = [leaf.grad for leaf in leaves]
        if module is not None:
            grads += [p.grad.clone() for p in module.parameters() if p.grad is not None]
        results.append((outputs, grads))
    (expected, expected_grads), (got, got_grads) = results
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        close(a, b, dtype, f'output {i}')
    for i, (a, b) in enumerate(zip(got_grads, expected_grads, strict=True)):
        assert (a is None) == (b is None), f'gradient {i}'
        if a is not None:
            close(a, b, dtype, f'gradient {i}')
