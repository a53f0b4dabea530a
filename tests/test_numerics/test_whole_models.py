"""One training step of each of our models on batches with degenerate targets or none: loss and gradients finite."""

import contextlib
import functools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from numeric_cases import MASK_KINDS, SEEDS, autocast, cases, draw_mask

CONFIGS = Path(__file__).parents[2] / 'configs' / 'quickstart'
FAMILIES = [
    'mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic',
    *(f'{name}_real' for name in ('blendmask', 'condinst', 'boxinst', 'sparseinst')),
]
SIDE = 64
# A box of no width, of no height, a point, the whole image, larger than the image, outside of it, one pixel, ordinary.
BOXES = [
    (20, 10, 20, 30),
    (10, 20, 40, 20),
    (32, 32, 32, 32),
    (0, 0, SIDE, SIDE),
    (-1e4, -1e4, 1e4, 1e4),
    (80, 80, 90, 90),
    (40, 40, 41, 41),
    (4, 6, 30, 40),
]


@functools.cache
def model(name: str) -> tuple[torch.nn.Module, OptimWrapper]:
    """Weights as a training starts with them, and the wrapper that trains in bfloat16."""
    init_default_scope('mmdet')
    MessageHub.get_current_instance().update_info('iter', 100)
    cfg = Config.fromfile(CONFIGS / f'{name}.py').model
    cfg.backbone.init_cfg = None
    torch.manual_seed(0)
    built = MODELS.build(cfg).train()
    return built, build_optim_wrapper(built, {'type': 'Bf16OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.0}})


def batch(built: torch.nn.Module, targets: list[list[tuple]], seed: int, contrast: float) -> dict:
    """One image for each list of targets ``(box, kind of mask, class)``."""
    channels = next(p for p in built.backbone.parameters() if p.dim() == 4).size(1)
    gen = torch.Generator().manual_seed(seed)
    images, samples = [], []
    for number, entries in enumerate(targets):
        meta = {'img_shape': (SIDE, SIDE), 'ori_shape': (SIDE, SIDE), 'scale_factor': (1.0, 1.0)}
        sample = DetDataSample(metainfo=meta)
        masks = [draw_mask(kind, SIDE, SIDE, seed + number) for _, kind, _ in entries]
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([box for box, _, _ in entries], dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([label for _, _, label in entries], dtype=torch.long),
            masks=BitmapMasks(np.array(masks, np.uint8).reshape(-1, SIDE, SIDE), SIDE, SIDE),
        )
        samples.append(sample)
        images.append((torch.rand(channels, SIDE, SIDE, generator=gen) * contrast).to(torch.uint8))
    return built.data_preprocessor({'inputs': images, 'data_samples': samples}, training=True)


def step(built: torch.nn.Module, data: dict, context: contextlib.AbstractContextManager) -> torch.Tensor:
    built.zero_grad()
    with context:
        loss, _ = built.parse_losses(built(**data, mode='loss'))
    loss.backward()
    return loss.detach()


TARGETS = st.lists(
    st.tuples(st.sampled_from(BOXES), st.sampled_from(MASK_KINDS), st.integers(0, 3)), min_size=0, max_size=4
)
TWO_IMAGES = st.lists(TARGETS, min_size=2, max_size=2)


@pytest.mark.parametrize('name', FAMILIES)
@cases(3, divisor=50)
@given(
    st.lists(TARGETS, min_size=2, max_size=2),
    st.sampled_from(['float32', 'bfloat16', 'float16']),
    SEEDS,
    st.booleans(),
)
def test_a_training_step(name: str, targets: list, precision: str, seed: int, flat: bool) -> None:
    built, wrapper = model(name)
    data = batch(built, targets, seed, 1.0 if flat else 255.0)
    context = (
        wrapper.optim_context(built)
        if precision == 'bfloat16'
        else autocast(torch.float16 if precision == 'float16' else None)
    )
    loss = step(built, data, context)
    assert torch.isfinite(loss) and 0 <= loss < 1e4
    broken = [n for n, p in built.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    assert not broken


@pytest.mark.parametrize('name', FAMILIES)
def test_nan_weights_end_in_a_nan_loss(name: str) -> None:
    """Not in a crash, and not in an error about something else: InvalidLossHook has to see it."""
    built, _ = model(name)
    kept = {key: value.clone() for key, value in built.state_dict().items()}
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.fill_(math.nan)
    loss = step(built, batch(built, [[(BOXES[-1], 'touching', 1)], []], 0, 255.0), autocast(None))
    built.load_state_dict(kept)
    assert not torch.isfinite(loss)
