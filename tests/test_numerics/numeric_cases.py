"""Inputs at the edge of what training can meet, for hypothesis, and what has to hold for each of them."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

CAMPAIGN = int(os.environ.get('MMDET_IR_EXAMPLES', 0))
# An input's type, and the type autocast computes in; None is no autocast.
PRECISIONS = st.sampled_from(
    [
        (torch.float32, None),
        (torch.float32, torch.float16),
        (torch.float32, torch.bfloat16),
        (torch.float16, torch.float16),
        (torch.bfloat16, torch.bfloat16),
        (torch.float64, None),
    ]
)
# Logits: the extremes often, and anything between.
LOGITS = st.one_of(st.sampled_from([0.0, 1e4, -1e4, 88.8, -88.8, 1e-7]), st.floats(-1e4, 1e4, width=32))
SEEDS = st.integers(0, 2**31 - 1)


def cases(few: int, divisor: int = 1) -> Callable:
    """``few`` cases that never change, or with MMDET_IR_EXAMPLES a campaign of that many random ones.

    Args:
        few: Cases in the test suite.
        divisor: Of the campaign's number, for tests whose cases are slow.
    """
    return settings(
        max_examples=max(CAMPAIGN // divisor, 1) if CAMPAIGN else few,
        derandomize=not CAMPAIGN,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def autocast(dtype: torch.dtype | None) -> AbstractContextManager:
    return nullcontext() if dtype is None else torch.autocast('cpu', dtype=dtype)


def extreme_logits(shape: tuple[int, ...], dtype: torch.dtype, first: float, seed: int, spread: float) -> Tensor:
    """A leaf: half of its values ``first`` or its negative, the others normal with ``spread``, within +-1e4."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(shape) < 0.5, first * rng.choice([-1, 1], shape), rng.normal(0, spread, shape))
    return torch.tensor(values.clip(-1e4, 1e4)).to(dtype).requires_grad_()


def draw_mask(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    """A mask ``[height, width]``, uint8: what ``kind`` says."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    if kind == 'full':
        mask[:] = 1
    elif kind == 'one pixel':
        mask[rng.integers(height), rng.integers(width)] = 1
    elif kind == 'touching':  # two rectangles that share a corner
        y, x = rng.integers(0, height, 2), rng.integers(0, width, 2)
        mask[: y[0] + 1, : x[0] + 1] = 1
        mask[y[0] + 1 :, x[0] + 1 :] = 1
    elif kind == 'noise':
        mask[:] = rng.random((height, width)) < 0.5
    return mask


MASK_KINDS = ('empty', 'full', 'one pixel', 'touching', 'noise')
COORDINATES = st.floats(-50, 700, width=16)


@st.composite
def boxes(draw: st.DrawFn, size: int, largest: float = 1e4) -> list[list[float]]:
    """``size`` boxes, xyxy: ordinary, of zero width or height, a point, swapped corners, huge, hair-thin."""
    made = []
    for _ in range(size):
        kind = draw(st.sampled_from(['any', 'zero width', 'zero height', 'point', 'swapped', 'huge', 'thin']))
        x1, y1 = draw(COORDINATES), draw(COORDINATES)
        w, h = draw(st.floats(0.0, 300, width=16)), draw(st.floats(0.0, 300, width=16))
        if kind in ('zero width', 'point'):
            w = 0.0
        if kind in ('zero height', 'point'):
            h = 0.0
        if kind == 'swapped':
            w, h = -w, -h
        if kind == 'thin':
            w, h = draw(st.sampled_from([1e-7, 1e-5, 1e-3])), draw(st.sampled_from([1e-6, 1e-2, 1e2]))
        if kind == 'huge':
            x1, y1, w, h = -largest, -largest * draw(st.floats(0, 1)), 2 * largest, largest * draw(st.floats(0, 2))
        made.append([x1, y1, x1 + w, y1 + h])
    return made


def backward(loss: Tensor, *inputs: Tensor) -> None:
    """Runs back and requires a finite loss, and a finite gradient of each input."""
    assert torch.isfinite(loss).all(), f'loss {loss}'
    loss.sum().backward()
    for tensor in inputs:
        assert tensor.grad is not None, 'not connected'
        assert torch.isfinite(tensor.grad).all(), f'gradient {tensor.grad}'
