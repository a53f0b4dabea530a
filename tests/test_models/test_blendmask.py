"""BlendMask's parts against slow references: explicit loops over instances, bases, cells and pixels."""

import math
from pathlib import Path

from mmdet_ir.models import BasisModule, BlendMaskHead, FCOSTopHead
from mmdet_ir.models.blendmask import blend_bases

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope('mmdet')


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Slow references -----------------------------------------------------------------------------------------------------


def sample(plane: torch.Tensor, y: float, x: float) -> float:
    """Bilinear value of a map between its cells; at the border the nearest cell's."""
    height, width = plane.shape
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = float(plane[top, left]) * (1 - dx) + float(plane[top, right]) * dx
    lower = float(plane[bottom, left]) * (1 - dx) + float(plane[bottom, right]) * dx
    return upper * (1 - dy) + lower * dy


def resize(plane: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear resizing whose cells have their values in the middle."""
    rows, columns = plane.shape
    return torch.tensor(
        [
            [sample(plane, (i + 0.5) * rows / height - 0.5, (j + 0.5) * columns / width - 0.5) for j in range(width)]
            for i in range(height)
        ]
    )


def crop(plane: torch.Tensor, box: list[float], stride: float, size: int) -> torch.Tensor:
    """Bilinear values at the middle of each of size x size bins of a box; 0 more than a cell outside of the map."""
    x1, y1, x2, y2 = (v / stride for v in box)
    out = torch.zeros(size, size)
    for i in range(size):
        for j in range(size):
            y = y1 + (i + 0.5) * (y2 - y1) / size - 0.5
            x = x1 + (j + 0.5) * (x2 - x1) / size - 0.5
            if -1 <= y <= plane.shape[0] and -1 <= x <= plane.shape[1]:
                out[i, j] = sample(plane, y, x)
    return out


def blend(planes: list[torch.Tensor], attention: torch.Tensor) -> torch.Tensor:
    """One instance: bases within its box, K maps of R x R, and its attention, K x A x A."""
    size = len(planes[0])
    enlarged = [resize(a, size, size) for a in attention]
    out = torch.zeros(size, size)
    for i in range(size):
        for j in range(size):
            exps = [math.exp(float(a[i, j])) for a in enlarged]
            out[i, j] = sum(e / sum(exps) * float(p[i, j]) for e, p in zip(exps, planes, strict=True))
    return out


def bce(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Mean binary cross-entropy over pixels."""
    losses = [
        -math.log(1 / (1 + math.exp(-x))) if t else -math.log(1 - 1 / (1 + math.exp(-x)))
        for x, t in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True)
    ]
    return sum(losses) / len(losses)


# Blender -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('count', 'bases', 'attention', 'size'), [(1, 4, 3, 7), (3, 2, 5, 5), (2, 1, 2, 6)])
def test_blender_equals_loops_over_instances_bases_and_pixels(
    count: int, bases: int, attention: int, size: int
) -> None:
    pooled, maps = rand(count, bases, size, size), 2 * rand(count, bases, attention, attention, seed=1)
    expected = torch.stack([blend(list(p), a) for p, a in zip(pooled, maps, strict=True)])
    torch.testing.assert_close(blend_bases(pooled, maps), expected, rtol=1e-4, atol=1e-5)


def test_blender_without_instances_is_an_empty_result_that_is_connected() -> None:
    pooled, maps = (torch.zeros(0, 4, n, n, requires_grad=True) for n in (6, 3))
    logits = blend_bases(pooled, maps)
    logits.sum().backward()
    assert logits.shape == (0, 6, 6) and pooled.grad is not None and maps.grad is not None


def test_blender_gradcheck() -> None:
    pooled, maps = (rand(2, 3, n, n, seed=n).double().requires_grad_() for n in (4, 2))
    assert torch.autograd.gradcheck(blend_bases, (pooled, maps))


def test_blender_names_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r'got \[2, 4, 6, 6\] and \[2, 3, 3, 3\]'):
        blend_bases(torch.zeros(2, 4, 6, 6), torch.zeros(2, 3, 3, 3))


# Basis module --------------------------------------------------------------------------------------------------------


def conv_bn_relu(x: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
    """3x3 convolution, BatchNorm in evaluation and ReLU, by their definitions."""
    norm = layer.bn
    x = F.conv2d(x, layer.conv.weight, padding=1)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return ((x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).clamp(min=0)


def resize_all(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return torch.stack([torch.stack([resize(c, height, width) for c in image]) for image in x])


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Weights and statistics of which none is trivial, in evaluation mode."""
    for i, (name, tensor) in enumerate(module.state_dict().items()):
        if tensor.is_floating_point():
            tensor.copy_(rand(*tensor.shape, seed=i) * 0.4)
            if name.endswith('running_var'):
                tensor.abs_().add_(0.5)
    return module.eval()


@pytest.mark.parametrize('sizes', [((5, 7), (3, 4), (2, 2)), ((4, 6), (2, 3), (1, 2))])
def test_bases_equal_the_path_step_by_step(sizes: tuple[tuple[int, int], ...]) -> None:
    module = randomised(BasisModule(3, num_classes=2, num_bases=3, channels=4, num_convs=1))
    feats = tuple(rand(2, 3, *size, seed=i) for i, size in enumerate(sizes))
    height, width = sizes[0]
    with torch.no_grad():
        refined = [conv_bn_relu(feat, conv) for feat, conv in zip(feats, module.refine, strict=True)]
        total = sum(resize_all(feat, height, width) for feat in refined)
        total = resize_all(conv_bn_relu(total, module.tower[0]), 2 * height, 2 * width)
        last = module.tower[-1]
        expected = F.conv2d(conv_bn_relu(total, module.tower[2]), last.weight, last.bias)
        bases, semantic = module((*feats, rand(2, 3, 1, 1)))  # a fourth level is not read
        assert semantic is None and expected.std() > 0.1
        torch.testing.assert_close(bases, expected, rtol=1e-4, atol=1e-4)


def test_semantic_logits_come_from_the_first_level_in_training_only() -> None:
    module = BasisModule(3, num_classes=2, channels=4, num_convs=1).train()
    feats = [rand(2, 3, 6, 5).requires_grad_(), rand(2, 3, 3, 3).requires_grad_(), rand(2, 3, 2, 2).requires_grad_()]
    _, semantic = module(tuple(feats))
    assert semantic.shape == (2, 3, 6, 5)
    semantic.square().sum().backward()
    assert feats[0].grad.abs().sum() > 0 and feats[1].grad is None and feats[2].grad is None


def test_too_few_levels_are_named() -> None:
    with pytest.raises(ValueError, match='at least 3 pyramid levels, got 2'):
        BasisModule(3, num_classes=2, channels=4)((rand(1, 3, 4, 4), rand(1, 3, 2, 2)))


# Attention of locations ----------------------------------------------------------------------------------------------

STRIDES = [4, 8]
SIZES = [(9, 11), (5, 6)]  # of an image of 41 x 35 pixels, width x height
RANGES = ((-1, 8), (8, 1e8))


def top_head(**kwargs) -> FCOSTopHead:
    torch.manual_seed(0)
    head = FCOSTopHead(
        num_classes=3,
        in_channels=4,
        feat_channels=4,
        stacked_convs=1,
        strides=STRIDES,
        regress_ranges=RANGES,
        num_bases=2,
        attention_size=3,
        center_sampling=True,
        norm_on_bbox=True,
        centerness_on_reg=True,
        norm_cfg={'type': 'GN', 'num_groups': 2},
        test_cfg=ConfigDict(nms_pre=100, score_thr=0.0, nms={'type': 'nms', 'iou_threshold': 0.5}, max_per_img=7),
        **kwargs,
    )
    head.init_weights()
    with torch.no_grad():
        head.top_layer.weight.mul_(30)
        head.top_layer.bias.copy_(rand(18))
    return head


def attention_of(head: FCOSTopHead, tower: torch.Tensor, row: int, column: int) -> torch.Tensor:
    """One location's attention by a loop over the window; outside of the map there is nothing."""
    out = head.top_layer.bias.clone()
    for dy in range(3):
        for dx in range(3):
            y, x = row + dy - 1, column + dx - 1
            if 0 <= y < tower.shape[1] and 0 <= x < tower.shape[2]:
                out += head.top_layer.weight[:, :, dy, dx] @ tower[:, y, x]
    return out.reshape(2, 3, 3)


def test_attention_is_that_of_the_location() -> None:
    head = top_head()
    towers = [rand(2, 4, *size, seed=i) for i, size in enumerate(SIZES)]
    # image, level, row, column: corners, borders and inner cells, levels mixed
    cells = [(1, 1, 4, 5), (0, 0, 0, 0), (1, 0, 8, 10), (0, 1, 2, 3), (1, 0, 3, 7), (0, 1, 0, 4), (0, 0, 8, 2)]
    points = torch.tensor([[(c + 0.5) * STRIDES[lvl], (r + 0.5) * STRIDES[lvl]] for _, lvl, r, c in cells])
    strides = torch.tensor([float(STRIDES[lvl]) for _, lvl, _, _ in cells])
    images = torch.tensor([image for image, *_ in cells])
    with torch.no_grad():
        expected = torch.stack([attention_of(head, towers[lvl][i], r, c) for i, lvl, r, c in cells])
        torch.testing.assert_close(head.attentions_at(towers, images, points, strides), expected, rtol=1e-4, atol=1e-4)
        nothing = head.attentions_at(towers, images[:0], points[:0], strides[:0])
    assert nothing.shape == (0, 2, 3, 3)


GT_BOXES = [[[2.0, 3.0, 14.0, 17.0], [10.0, 4.0, 40.0, 33.0], [5.0, 6.0, 11.0, 12.0]], [], [[20.0, 1.0, 36.0, 13.0]]]


def gt_instances(boxes: list[list[float]], masks: BitmapMasks | None = None) -> InstanceData:
    gt = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.arange(len(boxes)) % 3)
    if masks is not None:
        gt.masks = masks
    return gt


def assigned(boxes: list[list[float]]) -> list[tuple[int, int, int, int, float]]:
    """FCOS's rule for one image, location by location: level, row, column, target, centerness."""
    found = []
    for level, (stride, size, limits) in enumerate(zip(STRIDES, SIZES, RANGES, strict=True)):
        for row in range(size[0]):
            for column in range(size[1]):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                best = None
                for target, (x1, y1, x2, y2) in enumerate(boxes):
                    left, top, right, bottom = x - x1, y - y1, x2 - x, y2 - y
                    near = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < 1.5 * stride
                    if min(left, top, right, bottom) <= 0 or not near:
                        continue
                    if not limits[0] <= max(left, top, right, bottom) <= limits[1]:
                        continue
                    area = (x2 - x1) * (y2 - y1)
                    if best is None or area < best[0]:
                        centerness = min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom)
                        best = area, target, math.sqrt(centerness)
                if best is not None:
                    found.append((level, row, column, *best[1:]))
    return found


def test_positive_locations_carry_the_attention_and_weight_of_their_target() -> None:
    head = top_head().train()
    feats = tuple(rand(3, 4, *size, seed=i) for i, size in enumerate(SIZES))
    outs = head(feats)
    # A mask far from the box's centre must not move the centre that locations are sampled around.
    masks = [BitmapMasks(np.eye(35, 41, dtype=np.uint8)[None].repeat(len(boxes), 0), 35, 41) for boxes in GT_BOXES]
    targets = [gt_instances(boxes, mask) for boxes, mask in zip(GT_BOXES, masks, strict=True)]
    losses = head.loss_by_feat(*outs, targets, [{}] * 3)
    infos = head.get_positive_infos()
    with torch.no_grad():
        for image, (info, boxes) in enumerate(zip(infos, GT_BOXES, strict=True)):
            expected = assigned(boxes)
            assert info.pos_assigned_gt_inds.tolist() == [target for *_, target, _ in expected]
            torch.testing.assert_close(info.centerness_targets, torch.tensor([c for *_, c in expected]))
            for attention, (level, row, column, *_) in zip(info.attentions, expected, strict=True):
                ours = attention_of(head, outs[3][level][image], row, column)
                torch.testing.assert_close(attention, ours, rtol=1e-4, atol=1e-4)
    assert {len(info) > 0 for info in infos} == {True, False} and len(set(infos[0].pos_assigned_gt_inds.tolist())) == 3
    sum(losses.values(), sum(info.attentions.square().sum() for info in infos)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


def test_detections_keep_the_attention_of_their_location() -> None:
    head = top_head().eval()
    with torch.no_grad():
        head.conv_reg.bias.fill_(1.0)  # boxes that differ from location to location by little
        outs = head(tuple(rand(2, 4, *size, seed=i) for i, size in enumerate(SIZES)))
        metas = [{'img_shape': (1000, 1000)}] * 2
        results = head.predict_by_feat(*outs, batch_img_metas=metas)
        for image, result in enumerate(results):
            assert len(result) == 7 and set(result.keys()) == {'bboxes', 'scores', 'labels', 'attentions'}
            for box, attention in zip(result.bboxes, result.attentions, strict=True):
                matches = []
                for level, stride in enumerate(STRIDES):
                    for row in range(SIZES[level][0]):
                        for column in range(SIZES[level][1]):
                            left, top, right, bottom = outs[1][level][image][:, row, column]
                            x, y = (column + 0.5) * stride, (row + 0.5) * stride
                            full = torch.stack([x - left, y - top, x + right, y + bottom]).clamp(0, 1000)
                            if torch.allclose(full, box, atol=1e-4):
                                matches.append((level, row, column))
                assert len(matches) == 1
                level, row, column = matches[0]
                expected = attention_of(head, outs[3][level][image], row, column)
                torch.testing.assert_close(attention, expected, rtol=1e-4, atol=1e-4)


def test_factors_of_levels_are_optional() -> None:
    plain, scaled = top_head(), top_head(use_scale=True)
    assert sum(p.numel() for p in scaled.parameters()) - sum(p.numel() for p in plain.parameters()) == len(STRIDES)


# Mask head -----------------------------------------------------------------------------------------------------------


def mask_head(**kwargs) -> BlendMaskHead:
    basis = {'type': 'BasisModule', 'in_channels': 3, 'num_classes': 3, 'num_bases': 2, 'channels': 4, 'num_convs': 1}
    test_cfg = ConfigDict(mask_thr_binary=0.5)
    return BlendMaskHead(basis, resolution=6, basis_stride=2, test_cfg=test_cfg, **kwargs)


BOXES = [[[3.0, 2.0, 15.0, 20.0], [-6.0, 5.5, 9.25, 30.0]], [], [[7.5, 1.0, 27.0, 13.0]]]


def infos_of(counts: list[list[int]]) -> list[InstanceData]:
    """Positive locations of images whose targets are given, with random attention and weights."""
    infos = []
    for image, inds in enumerate(counts):
        weights = torch.rand(len(inds), generator=torch.Generator().manual_seed(image)) * 0.8 + 0.2
        infos.append(
            InstanceData(
                attentions=2 * rand(len(inds), 2, 3, 3, seed=20 + image),
                pos_assigned_gt_inds=torch.tensor(inds, dtype=torch.long),
                centerness_targets=weights,
            )
        )
    return infos


def half_masks(boxes: list[list[float]], height: int = 24, width: int = 28) -> BitmapMasks:
    """Whole-image masks of which only the left half of the image is inside."""
    masks = np.zeros((len(boxes), height, width), np.uint8)
    masks[:, :, : width // 2] = 1
    return BitmapMasks(masks, height, width)


def test_pooled_bases_equal_loops_over_boxes_and_bins() -> None:
    head, bases = mask_head(), rand(3, 2, 12, 14)
    expected = [
        torch.stack([crop(plane, box, 2, 6) for plane in bases[image]])
        for image, boxes in enumerate(BOXES)
        for box in boxes
    ]
    pooled = head.pool(bases, [torch.tensor(boxes).reshape(-1, 4) for boxes in BOXES])
    torch.testing.assert_close(pooled, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_mask_loss_equals_loops_over_locations_and_pixels() -> None:
    head, bases = mask_head(), rand(3, 2, 12, 14)
    boxes = [[[2.0, 3.0, 26.0, 21.0], [8.0, 2.0, 20.0, 20.0]], [], [[5.0, 5.0, 23.0, 17.0]]]
    gts = [gt_instances(b, half_masks(b)) for b in boxes]
    infos = infos_of([[1, 0, 1], [], [0, 0]])
    semantic = rand(3, 4, 6, 7, seed=5)
    total = weight_sum = 0.0
    for image, info in enumerate(infos):
        for attention, target, weight in zip(
            info.attentions, info.pos_assigned_gt_inds.tolist(), info.centerness_targets.tolist(), strict=True
        ):
            box = boxes[image][target]
            logits = blend([crop(plane, box, 2, 6) for plane in bases[image]], attention)
            bins = torch.tensor([box[0] + (j + 0.5) * (box[2] - box[0]) / 6 for j in range(6)])
            total += weight * bce(logits, (bins < 14).expand(6, 6))  # 14 is the middle of the image
            weight_sum += weight
    losses = head.loss_by_feat(bases, semantic, gts, [{}] * 3, infos)
    assert float(losses['loss_mask']) == pytest.approx(total / weight_sum, rel=1e-4)

    assert [gt.bboxes.tolist() for gt in gts] == boxes
    expected = F.cross_entropy(semantic, head.semantic_targets(gts, semantic.device))
    assert float(losses['loss_semantic']) == pytest.approx(0.3 * float(expected), rel=1e-5)


def test_weights_are_relative() -> None:
    head = mask_head()
    logits, targets = rand(3, 6, 6), (rand(3, 6, 6, seed=1) > 0).float()
    weights = torch.tensor([0.9, 0.1, 0.5])
    expected = sum(w * bce(x, t) for w, x, t in zip(weights.tolist(), logits, targets, strict=True)) / 1.5
    assert float(head.mask_loss(logits, targets, weights)) == pytest.approx(expected, rel=1e-5)
    assert float(head.mask_loss(logits, targets, weights / 7)) == pytest.approx(expected, rel=1e-5)


def test_our_mask_loss_is_the_mean_over_locations() -> None:
    loss = {'type': 'MBCEDiceLovaszLoss', 'bce_weight': 1.0, 'dice_weight': 1.0, 'lovasz_weight': 0.0}
    head = mask_head(loss_mask=loss, centerness_weighted=False)
    logits, targets = rand(3, 6, 6), (rand(3, 6, 6, seed=1) > 0).float()
    expected = 0.0
    for x, t in zip(logits, targets, strict=True):
        probs = 1 / (1 + torch.exp(-x))
        expected += (bce(x, t) + 1 - 2 * float((probs * t).sum()) / float(probs.sum() + t.sum())) / 3
    assert float(head.mask_loss(logits, targets, torch.rand(3))) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match='centerness_weighted=False, got MBCEDiceLovaszLoss'):
        mask_head(loss_mask=loss)


@pytest.mark.parametrize('weighted', [True, False])
def test_no_target_at_all_gives_connected_zeros(weighted: bool) -> None:
    loss = {'type': 'CrossEntropyLoss', 'use_sigmoid': True} if weighted else {'type': 'MBCEDiceLovaszLoss'}
    head = mask_head(loss_mask=loss, centerness_weighted=weighted)
    bases = rand(2, 2, 12, 14).requires_grad_()
    infos = infos_of([[], []])
    attentions = [info.attentions.requires_grad_() for info in infos]
    semantic = torch.zeros(2, 4, 6, 7).requires_grad_()
    losses = head.loss_by_feat(bases, semantic, [gt_instances([], half_masks([]))] * 2, [{}] * 2, infos)
    assert losses['loss_mask'].item() == 0
    assert float(losses['loss_semantic']) == pytest.approx(0.3 * math.log(4), rel=1e-5)
    sum(losses.values()).backward()
    assert bases.grad.abs().sum() == 0 and all(a.grad is not None for a in attentions)


def test_semantic_targets_equal_a_loop_over_cells() -> None:
    head = mask_head()
    masks = np.zeros((3, 21, 27), np.uint8)
    masks[0, 2:15, 3:20], masks[1, 7:21, 10:27], masks[2, 0:6, 0:6] = 1, 1, 1
    gts = [
        InstanceData(labels=torch.tensor([1, 2, 0]), bboxes=torch.zeros(3, 4), masks=BitmapMasks(masks, 21, 27)),
        gt_instances([], BitmapMasks(np.zeros((0, 21, 27), np.uint8), 21, 27)),
    ]
    targets = head.semantic_targets(gts, torch.device('cpu'))
    assert targets.shape == (2, 6, 7)  # cells of 4 pixels, rounded up as strided convolutions do
    for i in range(6):
        for j in range(7):
            expected = 3
            for label, mask in zip((1, 2, 0), masks, strict=True):
                expected = label if mask[4 * i, 4 * j] else expected
            assert targets[0, i, j] == expected and targets[1, i, j] == 3
    assert set(targets[0].flatten().tolist()) == {0, 1, 2, 3}


def paste(probs: torch.Tensor, box: list[float], height: int, width: int) -> torch.Tensor:
    """Probability at every pixel's centre; the map is 0 outside of its outermost values' cells."""
    size, out = len(probs), torch.zeros(height, width)
    framed = F.pad(probs, (1, 1, 1, 1))
    for i in range(height):
        for j in range(width):
            y = (i + 0.5 - box[1]) / (box[3] - box[1]) * size + 0.5
            x = (j + 0.5 - box[0]) / (box[2] - box[0]) * size + 0.5
            if 0 <= y <= size + 1 and 0 <= x <= size + 1:
                out[i, j] = sample(framed, y, x)
    return out


@pytest.mark.parametrize(('rescale', 'factor'), [(True, 2.0), (False, 1.0)])
def test_predicted_masks_equal_loops_over_pixels(rescale: bool, factor: float) -> None:
    head, bases = mask_head(), 3 * rand(3, 2, 12, 14)
    attentions = [2 * rand(len(boxes), 2, 3, 3, seed=9 + i) for i, boxes in enumerate(BOXES)]
    results = [
        InstanceData(
            bboxes=torch.tensor(boxes).reshape(-1, 4),
            scores=torch.rand(len(boxes)),
            labels=torch.zeros(len(boxes), dtype=torch.long),
            attentions=a.clone(),
        )
        for boxes, a in zip(BOXES, attentions, strict=True)
    ]
    # The network saw 27 x 23 pixels of an image that has 54 x 46.
    metas = [{'ori_shape': (46, 54), 'img_shape': (23, 27), 'scale_factor': (0.5, 0.5)}] * 3
    results = head.predict_by_feat(bases, None, results, metas, rescale=rescale)
    height, width = (46, 54) if rescale else (23, 27)
    for image, result in enumerate(results):
        assert len(result.masks) == len(BOXES[image]) and 'attentions' not in result
        for i, box in enumerate(BOXES[image]):
            logits = blend([crop(plane, box, 2, 6) for plane in bases[image]], attentions[image][i])
            expected = paste(1 / (1 + torch.exp(-logits)), [v * factor for v in box], height, width)
            clear = (expected - 0.5).abs() > 1e-4
            assert result.masks[i].shape == (height, width)
            assert (result.masks[i] == (expected >= 0.5))[clear].all() and 0 < result.masks[i].float().mean() < 1
            torch.testing.assert_close(result.bboxes[i], torch.tensor(box) * factor)


# The whole -----------------------------------------------------------------------------------------------------------


def tiny_model(pad: int = 32) -> torch.nn.Module:
    """The small config, narrower still."""
    cfg = Config.fromfile(CONFIGS / 'quickstart/blendmask_real.py')
    cfg.merge_from_dict(
        {
            'model.data_preprocessor.pad_size_divisor': pad,
            'model.backbone.base_channels': 8,
            'model.backbone.stem_channels': 8,
            'model.neck.in_channels': [8, 16, 32, 64],
            'model.neck.out_channels': 8,
            'model.bbox_head.in_channels': 8,
            'model.bbox_head.feat_channels': 8,
            'model.bbox_head.attention_size': 3,
            'model.mask_head.basis_module.in_channels': 8,
            'model.mask_head.basis_module.channels': 8,
            'model.mask_head.resolution': 8,
            'model.test_cfg.score_thr': 0.0,
            'model.test_cfg.max_per_img': 5,
        }
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def batch(size: tuple[int, int], counts: tuple[int, ...]) -> dict:
    """Images of height and width ``size`` with that many targets each."""
    height, width = size
    boxes = [[4.0, 6.0, 20.0, 30.0], [24.0, 10.0, 45.0, 24.0], [10.0, 30.0, 36.0, 44.0]]
    inputs, samples = [], []
    for image, count in enumerate(counts):
        masks = np.zeros((count, height, width), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=False):
            mask[int(y1) : int(y2) - 4, int(x1) + 3 : int(x2)] = 1
        data_sample = DetDataSample(
            metainfo={'img_shape': size, 'ori_shape': size, 'scale_factor': (1.0, 1.0)},
            gt_instances=gt_instances(boxes[:count], BitmapMasks(masks, height, width)),
        )
        samples.append(data_sample)
        inputs.append((rand(3, height, width, seed=image) * 60 + 120).clamp(0, 255).byte())
    return {'inputs': inputs, 'data_samples': samples}


@pytest.mark.parametrize(('pad', 'size'), [(32, (48, 64)), (1, (47, 61))])
def test_every_parameter_learns_also_at_odd_sizes(pad: int, size: tuple[int, int]) -> None:
    model = tiny_model(pad).train()
    losses = model(**model.data_preprocessor(batch(size, (3, 0, 1)), training=True), mode='loss')
    names = {'loss_cls', 'loss_bbox', 'loss_centerness', 'loss_mask', 'loss_semantic'}
    assert set(losses) == names and all(loss > 0 for loss in losses.values())
    losses['loss_mask'].backward(retain_graph=True)
    # The mask loss alone reaches the bases and the attention.
    assert model.bbox_head.top_layer.weight.grad.abs().sum() > 0
    assert model.mask_head.basis_module.tower[-1].weight.grad.abs().sum() > 0
    model.zero_grad()
    sum(losses.values()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
    model.eval()
    with torch.inference_mode():
        results = model(**model.data_preprocessor(batch(size, (0, 0)), training=False), mode='predict')
    assert [r.pred_instances.masks.shape for r in results] == [(5, *size)] * 2


def test_a_batch_without_targets_trains() -> None:
    model = tiny_model().train()
    loss, logs = model.parse_losses(
        model(**model.data_preprocessor(batch((48, 64), (0, 0)), training=True), mode='loss')
    )
    loss.backward()
    assert logs['loss_mask'] == 0 and logs['loss_semantic'] > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_autocast_losses_are_close_to_float32() -> None:
    model = tiny_model().train()
    data = model.data_preprocessor(batch((48, 64), (3, 1)), training=True)
    reference = model(**data, mode='loss')
    data = model.data_preprocessor(batch((48, 64), (3, 1)), training=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(**data, mode='loss')
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, reference[name], rtol=0.1, atol=0.02)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_parameters_equal_the_papers() -> None:
    """With 80 classes and without the backbone's BatchNorm: 35.982 M (Table 4 of Wang & Ren)."""
    cfg = Config.fromfile(CONFIGS / 'baselines/blendmask_r50_fpn.py').model
    cfg.bbox_head.num_classes = cfg.mask_head.basis_module.num_classes = 80
    with torch.device('meta'):
        model = MODELS.build(cfg)
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    count = sum(p.numel() for p in model.parameters()) - sum(p.numel() for m in norms for p in m.parameters())
    # top layer, basis module with norms, semantic head with background, beside FCOS's 32,244,245
    top = 256 * 9 * 784 + 784
    basis = 3 * (256 * 9 * 128 + 256) + 4 * (128 * 9 * 128 + 256) + 128 * 4 + 4
    semantic = 256 * 9 * 128 + 256 + 128 * 9 * 128 + 256 + 128 * 81 + 81
    assert count == 32_244_245 + top + basis + semantic == 35_981_562
