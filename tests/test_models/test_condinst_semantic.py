"""CondInst's auxiliary semantic head, against loops over pixels and hand-derived counts."""

import math

import mmdet_ir  # noqa: F401
from mmdet_ir.models.condinst import AuxiliarySemanticHead, semantic_targets

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData


def random_masks(count: int, height: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping rectangles with holes, of distinct areas."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, height, width), bool)
    for i, mask in enumerate(masks):
        y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
        mask[y : y + 6 + 3 * i, x : x + 7 + 2 * i] = (
            rng.random((min(6 + 3 * i, height - y), min(7 + 2 * i, width - x))) < 0.8
        )
    assert len({int(mask.sum()) for mask in masks}) == count
    order = rng.permutation(count)
    return torch.from_numpy(masks[order]), torch.from_numpy(rng.integers(0, 4, count))


@pytest.mark.parametrize(
    ('count', 'height', 'width', 'stride'), [(0, 16, 24, 8), (1, 17, 21, 4), (6, 40, 32, 4), (6, 33, 47, 2)]
)
def test_targets_are_the_smallest_masks_class(count: int, height: int, width: int, stride: int) -> None:
    masks, labels = random_masks(count, height, width, seed=count + stride)
    got = semantic_targets(masks, labels, 4, stride)
    rows, columns = range(stride // 2, height, stride), range(stride // 2, width, stride)
    assert got.shape == (len(rows), len(columns)) and got.dtype == torch.int64
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            here = [n for n in range(count) if masks[n, y, x]]
            expected = int(labels[min(here, key=lambda n: int(masks[n].sum()))]) if here else 4
            assert got[i, j] == expected
    assert count < 2 or (got < 4).any()


def ground_truth(masks: torch.Tensor, labels: torch.Tensor) -> InstanceData:
    return InstanceData(masks=BitmapMasks(masks.numpy().astype(np.uint8), *masks.shape[1:]), labels=labels)


def test_loss_equals_a_loop_over_cells_and_classes() -> None:
    torch.manual_seed(0)
    head = AuxiliarySemanticHead(num_classes=4, in_channels=3, feat_channels=5, stride=4)
    head.init_weights()
    feature = torch.randn(2, 3, 10, 8)
    images = [random_masks(5, 40, 32, seed=3), random_masks(0, 40, 32, seed=4)]
    loss = head.loss(feature, [ground_truth(*image) for image in images])
    logits = head(feature).double()
    total, foreground = 0.0, 0
    for b, (masks, labels) in enumerate(images):
        targets = semantic_targets(masks, labels, 4, 4)
        foreground += int((targets < 4).sum())
        for (i, j), target in np.ndenumerate(targets.numpy()):
            for c in range(4):
                p = 1 / (1 + math.exp(-float(logits[b, c, i, j].detach())))
                total += -0.25 * (1 - p) ** 2 * math.log(p) if c == target else -0.75 * p**2 * math.log(1 - p)
    assert foreground > 3
    assert loss.item() == pytest.approx(total / foreground, rel=1e-5)


def test_loss_without_targets_is_finite_and_every_class_starts_at_one_percent() -> None:
    head = AuxiliarySemanticHead(num_classes=4, in_channels=3, feat_channels=5, stride=4)
    head.init_weights()
    assert torch.allclose(head.conv_logits.bias.sigmoid(), torch.full((4,), 0.01))
    loss = head.loss(torch.randn(1, 3, 4, 4), [ground_truth(*random_masks(0, 16, 16, seed=0))])
    loss.backward()
    assert torch.isfinite(loss) and head.convs[0].conv.weight.grad.abs().sum() > 0


def test_a_feature_map_of_another_stride_is_refused() -> None:
    head = AuxiliarySemanticHead(num_classes=4, in_channels=3, feat_channels=5, stride=4)
    with pytest.raises(ValueError, match=r'stride 4, \[4, 4\], got \[8, 8\]'):
        head.loss(torch.randn(2, 3, 8, 8), [ground_truth(*random_masks(1, 16, 16, seed=0))] * 2)


def test_parameters_with_eighty_classes_are_the_papers() -> None:
    """256*128*9 + 256 and 128*128*9 + 256 with norms, 128*80 + 80: CondInst's 34.111 M become Table 4's 34.564 M."""
    head = AuxiliarySemanticHead(num_classes=80)
    assert sum(p.numel() for p in head.parameters()) == 295_168 + 147_712 + 10_320


def test_the_mask_head_reads_the_level_of_its_mask_branch_in_training_only() -> None:
    init_default_scope('mmdet')
    branch = {
        'in_channels': 8,
        'feat_channels': 8,
        'start_level': 1,
        'end_level': 1,
        'out_channels': 8,
        'mask_stride': 4,
    }
    head = MODELS.build(
        {
            'type': 'CondInstSemanticMaskHead',
            'mask_feature_head': branch,
            'loss_mask': {'type': 'DiceLoss'},
            'semantic_head': {'num_classes': 4, 'feat_channels': 8},
        }
    )
    assert head.semantic_head.stride == 4 and head.semantic_head.convs[0].conv.in_channels == 8
    head.semantic_head.forward = None  # a call would fail
    levels = (torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4))
    nothing = InstanceData(
        param_preds=torch.zeros(0, head.num_params), points=torch.zeros(0, 2), strides=torch.zeros(0)
    )
    assert head(levels, [nothing])[0][0].shape == (0, 1, 4, 4)
