"""Layers, matching and operators at the edges: finite, in range, and alive where the input is NaN."""

from mmdet_ir.models import BNSA, SparseInstMatcher, SqueezeAttention
from mmdet_ir.models.boxinst import pairwise_edges
from mmdet_ir.models.condinst import semantic_targets
from mmdet_ir.models.sparseinst import InstanceContextEncoder, aggregate_instances
from mmdet_ir.models.sparseinst.head import mask_ious, maskness
from mmdet_ir.models.sparseinst.matcher import dice_scores

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d, nms, roi_align, soft_nms
from mmengine.structures import InstanceData
from numeric_cases import (
    LOGITS,
    MASK_KINDS,
    PRECISIONS,
    SEEDS,
    autocast,
    backward,
    boxes,
    cases,
    draw_mask,
    extreme_logits,
)

NAN, INF = float('nan'), float('inf')


@cases(30)
@given(
    st.sampled_from([BNSA, SqueezeAttention]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([None, torch.float16, torch.bfloat16]),
    st.sampled_from([0.0, 1e-6, 1.0, 100.0]),
    st.booleans(),
    SEEDS,
)
def test_attention_layers(
    kind: type, height: int, width: int, cast: torch.dtype | None, scale: float, training: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = kind(8).train(training)
    x = (torch.randn(2, 8, height, width) * scale).requires_grad_()
    with autocast(cast):
        out = layer(x)
    assert out.shape == x.shape and torch.isfinite(out).all()
    # A BatchNorm of flat maps multiplies gradients by up to 316; four of them leave float16's range.
    if cast != torch.float16 or scale >= 1:
        backward(out.float().mean(), x, *layer.parameters())


@cases(20)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([None, torch.float16, torch.bfloat16]), SEEDS)
def test_context_encoder(height: int, width: int, cast: torch.dtype | None, seed: int) -> None:
    torch.manual_seed(seed)
    encoder = InstanceContextEncoder([4, 8], 8)
    encoder.init_weights()
    features = [torch.randn(1, 4, height, width), torch.randn(1, 8, -(-height // 2), -(-width // 2))]
    with autocast(cast):
        (out,) = encoder(features)
    backward(out.float().square().mean(), *encoder.parameters())


@cases(60)
@given(st.sampled_from([1, 2, 4]), st.integers(1, 3), PRECISIONS, LOGITS, LOGITS, SEEDS)
def test_instance_features_are_averages(
    groups: int, count: int, precision: tuple, activation: float, feature: float, seed: int
) -> None:
    dtype, cast = precision
    activations = extreme_logits((2, groups * count, 5, 7), dtype, activation, seed, 1.0)
    features = extreme_logits((2, 3, 5, 7), dtype, feature, seed + 1, 1.0)
    with autocast(cast):
        out = aggregate_instances(activations, features, groups)
    assert out.shape == (2, count, groups * 3)
    assert out.abs().max() <= features.abs().max() * 1.02
    backward(out.float().square().mean() / 1e4, activations, features)


@cases(60)
@given(st.data(), st.integers(1, 5), st.integers(0, 4), LOGITS, SEEDS, st.sampled_from([0.0, NAN, INF, -INF]))
def test_matching(data: st.DataObject, count: int, targets: int, logit: float, seed: int, poison: float) -> None:
    logits = extreme_logits((count, 6, 6), torch.float32, logit, seed, 5.0).detach()
    masks = [draw_mask(data.draw(st.sampled_from(MASK_KINDS)), 6, 6, seed + i) for i in range(targets)]
    masks = torch.tensor(np.array(masks)).reshape(targets, 6, 6).float()
    dice = dice_scores(logits.flatten(1), masks.flatten(1))
    assert (dice >= 0).all() and (dice <= 1 + 1e-6).all()
    own = masks[:count] if targets >= count else masks.new_zeros(count, 6, 6)
    for ratio in (mask_ious(logits, own), maskness(logits.sigmoid(), 0.4)):
        assert (ratio >= 0).all() and (ratio <= 1).all()
    logits[0, 0] += poison
    scores = torch.full((count, 3), logit) + poison
    labels = torch.arange(targets) % 3
    result = SparseInstMatcher().assign(
        InstanceData(scores=scores, masks=logits), InstanceData(labels=labels, masks=masks)
    )
    matched = result.gt_inds[result.gt_inds > 0]
    assert len(matched) == len(set(matched.tolist())) == min(count, targets)


@cases(40)
@given(st.data(), st.integers(0, 4), st.sampled_from([0.0, 1.0, 1e4, 1e-20]))
def test_pairwise_edges(data: st.DataObject, count: int, contrast: float) -> None:
    intensity = torch.arange(12.0).view(3, 4) % 5 * contrast
    valid = torch.ones(3, 4, dtype=torch.bool)
    made = torch.tensor(data.draw(boxes(count))).reshape(-1, 4)
    edges = pairwise_edges(intensity, valid, made, 4, 3, 1, 0.7)
    assert edges.shape == (count, 8, 3, 4) and edges.dtype == torch.bool
    # The corner's neighbours to the left and above are outside of the image.
    assert not edges[:, [0, 1, 2, 3, 5], 0, 0].any()


@cases(40)
@given(st.data(), st.integers(0, 4), st.integers(1, 9), SEEDS)
def test_semantic_targets(data: st.DataObject, count: int, size: int, seed: int) -> None:
    masks = [draw_mask(data.draw(st.sampled_from(MASK_KINDS)), size, size, seed + i) for i in range(count)]
    masks = torch.tensor(np.array(masks)).reshape(count, size, size).bool()
    cells = semantic_targets(masks, torch.arange(count), count, 2)
    # Every cell is a class whose mask covers its pixel, and the smallest of these.
    for (y, x), cell in np.ndenumerate(cells.numpy()):
        covering = [i for i in range(count) if masks[i, 1 + 2 * y, 1 + 2 * x]]
        areas = {i: int(masks[i].sum()) for i in covering}
        assert cell == count if not covering else areas[int(cell)] == min(areas.values())


@cases(60)
@given(st.data(), st.integers(0, 4), PRECISIONS, st.sampled_from([1, 2]), st.booleans())
def test_roi_align(data: st.DataObject, count: int, precision: tuple, ratio: int, aligned: bool) -> None:
    dtype, cast = precision
    features = torch.rand(1, 2, 6, 7).to(dtype).requires_grad_()
    made = torch.tensor(data.draw(boxes(count, 1e6 if dtype != torch.float16 else 1e4))).reshape(-1, 4)
    rois = torch.cat([made.new_zeros(count, 1), made], 1).to(dtype)
    with autocast(cast):
        out = roi_align(features, rois, (2, 3), 0.25, ratio, 'avg', aligned)
    assert (out >= 0).all() and (out <= 1).all()
    backward(out.float().sum(), features)


@pytest.mark.parametrize('ratio', [0, 1, 2])
@pytest.mark.parametrize('bad', [(NAN, NAN, NAN, NAN), (1, 1, NAN, 5), (-INF, 0, INF, 5)])
def test_roi_align_survives_a_roi_that_is_not_finite(ratio: int, bad: tuple) -> None:
    """torchvision's kernel for the CPU read out of bounds, which ended the process without a word."""
    features = torch.rand(1, 2, 6, 7, requires_grad=True)
    rois = torch.tensor([[0.0, 2, 2, 20, 20], [0.0, *bad]])
    out = roi_align(features, rois, (2, 2), 0.25, ratio, 'avg', True)
    torch.testing.assert_close(out[:1], roi_align(features, rois[:1], (2, 2), 0.25, ratio, 'avg', True))
    assert out[1].isnan().all()
    out.sum().backward()


@pytest.mark.parametrize('modulated', [False, True])
def test_deformable_convolution_survives_a_nan_offset(modulated: bool) -> None:
    torch.manual_seed(0)
    conv = (ModulatedDeformConv2d if modulated else DeformConv2d)(2, 3, 3, padding=1)
    x, offset = torch.rand(1, 2, 5, 5, requires_grad=True), torch.zeros(1, 18, 5, 5)
    mask = (torch.ones(1, 9, 5, 5),) if modulated else ()
    expected = conv(x, offset, *mask)
    offset[0, 4, 1, 2] = NAN
    out = conv(x, offset.requires_grad_(), *mask)
    assert out[0, :, 1, 2].isnan().all()
    rest = torch.ones(5, 5, dtype=torch.bool)
    rest[1, 2] = False
    torch.testing.assert_close(out[..., rest], expected[..., rest])
    out.sum().backward()


@cases(40)
@given(st.data(), st.integers(0, 6), st.sampled_from([torch.float32, torch.float16, torch.bfloat16]), SEEDS)
def test_nms(data: st.DataObject, count: int, dtype: torch.dtype, seed: int) -> None:
    made = torch.tensor(data.draw(boxes(count))).reshape(-1, 4).to(dtype)
    scores = torch.rand(count, generator=torch.Generator().manual_seed(seed)).to(dtype)
    for dets, kept in (nms(made, scores, 0.5), soft_nms(made, scores, 0.5, method='gaussian')):
        assert len(set(kept.tolist())) == len(kept) and len(dets) == len(kept)
        assert torch.isfinite(dets).all() and (dets[:, 4].diff() <= 0).all()
        assert bool(count) == bool(len(kept))
