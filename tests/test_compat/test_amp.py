"""bfloat16 training on the CPU: what autocast does to RoI coordinates, that the wrapper undoes it, and its speed."""

import os
import platform
import subprocess
import sys

from mmdet_ir.compat.amp import MAX_SLOWDOWN, bfloat16_slowdown

import pytest
import torch
from mmdet.models import SingleRoIExtractor
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

STRIDE, COLUMNS = 4, 256
# In a ramp over the columns, RoIAlign yields the x of the RoI's centre: in cells, from the first cell's centre.
ROI, CENTRE = [[0.0, 600.7, 10, 640.9, 50]], (600.7 + 640.9) / 2 / STRIDE - 0.5


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.scale.weight)
        layer = {'type': 'RoIAlign', 'output_size': 1, 'sampling_ratio': 2}
        self.extractor = SingleRoIExtractor(layer, out_channels=1, featmap_strides=[STRIDE])

    def forward(self) -> tuple[Tensor, Tensor]:
        features = self.scale(torch.arange(float(COLUMNS)).expand(1, 1, 16, COLUMNS))
        return features, self.extractor((features,), torch.tensor(ROI))


def test_stock_mmdet_moves_rois_under_bfloat16() -> None:
    """The fault that the wrapper mends: if mmdet mends it one day, the wrapper's hook can go."""
    with torch.autocast('cpu', dtype=torch.bfloat16):
        _, pooled = Detector()()
    assert abs(pooled.item() - CENTRE) > 0.1


def test_the_wrapper_keeps_rois_in_place_and_trains() -> None:
    model = Detector()
    wrapper = build_optim_wrapper(
        model, {'type': 'Bf16OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 1e-5}, 'clip_grad': {'max_norm': 1e9}}
    )
    for _ in range(2):  # the second time the hook is already there
        with wrapper.optim_context(model):
            features, pooled = model()
        assert features.dtype == torch.bfloat16
        assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(CENTRE, abs=1e-3)
    wrapper.update_params(pooled.sum())
    # The pooled value is the weight times CENTRE, so the step is lr * CENTRE, up to bfloat16 in the backward pass.
    assert model.scale.weight.dtype == torch.float32
    assert 1 - model.scale.weight.item() == pytest.approx(1e-5 * CENTRE, rel=1e-2)


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='the variable is one of oneDNN for x86')
def test_a_processor_without_instructions_for_bfloat16_is_found_slow() -> None:
    """oneDNN is told to use what processors of 2013 have; a step of the demo takes 8.3 s then, in float32 1.1."""
    code = 'from mmdet_ir.compat.amp import bfloat16_slowdown; print(bfloat16_slowdown())'
    env = os.environ | {'ONEDNN_MAX_CPU_ISA': 'AVX2'}
    done = subprocess.run([sys.executable, '-c', code], env=env, check=True, capture_output=True, text=True)
    assert float(done.stdout.splitlines()[-1]) > MAX_SLOWDOWN


def test_measuring_leaves_random_numbers_and_threads_as_they_are() -> None:
    bfloat16_slowdown.cache_clear()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    bfloat16_slowdown()
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
