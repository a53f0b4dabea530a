"""SparseInst against slow references: loops over instances and pixels, brute force, OpenCV's resize."""

import itertools
import math
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.models import InstanceContextEncoder, SparseInstHead, SparseInstMatcher
from mmdet_ir.models.sparseinst.decoder import aggregate_instances, append_coordinates

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

CONFIGS = Path(__file__).parents[2] / 'configs'
CLASSES = 3


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def resized(array: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(array, np.float64), (width, height), interpolation=cv2.INTER_LINEAR)


def make_head(**kwargs) -> SparseInstHead:
    init_default_scope('mmdet')
    model = Config.fromfile(CONFIGS / '_base_/models/sparseinst_r50_giam.py').model
    small = {
        'num_classes': CLASSES,
        'in_channels': 4,
        'feat_channels': 8,
        'stacked_convs': 1,
        'num_masks': 5,
        'kernel_channels': 3,
        'train_cfg': model.train_cfg,
        'test_cfg': model.test_cfg,
    }
    torch.manual_seed(0)
    head = MODELS.build({**model.mask_head, **small, **kwargs})
    head.init_weights()
    return head


class TestAggregation:
    @pytest.mark.parametrize(('groups', 'instances', 'size'), [(1, 3, (4, 5)), (4, 2, (3, 7)), (2, 1, (1, 1))])
    def test_equals_loops_over_instances_and_pixels(self, groups: int, instances: int, size: tuple) -> None:
        batch, channels = 2, 8
        activations = random(batch, groups * instances, *size, seed=1, scale=2)
        features = random(batch, channels, *size, seed=2)
        expected = torch.zeros(batch, instances, groups * channels, dtype=torch.float64)
        for b, n, g in itertools.product(range(batch), range(instances), range(groups)):
            total = [0.0] * channels
            weights = 0.0
            for y, x in itertools.product(range(size[0]), range(size[1])):
                weight = sigmoid(activations[b, g * instances + n, y, x].item())
                weights += weight
                total = [t + weight * features[b, c, y, x].item() for c, t in enumerate(total)]
            expected[b, n, g * channels : (g + 1) * channels] = torch.tensor(total, dtype=torch.float64) / weights
        torch.testing.assert_close(aggregate_instances(activations, features, groups), expected)

    def test_half_precision_does_not_overflow(self) -> None:
        """The sum over 32x32 pixels of 500 is beyond float16, their mean is not."""
        features = torch.full((1, 2, 32, 32), 500.0, dtype=torch.float16)
        average = aggregate_instances(torch.full((1, 1, 32, 32), 3.0, dtype=torch.float16), features, 1)
        torch.testing.assert_close(average, torch.full((1, 1, 2), 500.0, dtype=torch.float16), rtol=5e-3, atol=0)

    def test_coordinates_run_from_minus_one_to_one(self) -> None:
        out = append_coordinates(torch.full((2, 1, 3, 5), 7.0))
        assert out[1, 0].tolist() == [[-1, -0.5, 0, 0.5, 1]] * 3
        assert out[0, 1].T.tolist() == [[-1, 0, 1]] * 5
        assert out[:, 2].unique().tolist() == [7]
        assert torch.isfinite(append_coordinates(torch.zeros(1, 1, 1, 1))).all()


class TestEncoder:
    sizes = ((9, 11), (5, 6), (3, 3))  # odd: no size is twice the next
    channels = (4, 6, 8)

    def inputs(self) -> list[torch.Tensor]:
        return [random(2, c, *s, seed=c) for c, s in zip(self.channels, self.sizes, strict=True)]

    def build(self, **kwargs) -> InstanceContextEncoder:
        torch.manual_seed(0)
        encoder = InstanceContextEncoder(self.channels, 8, **kwargs).double().eval()
        for p in encoder.parameters():
            torch.nn.init.normal_(p, std=0.3)
        return encoder

    @staticmethod
    def conv(x: torch.Tensor, layer: torch.nn.Module, relu: bool = False) -> torch.Tensor:
        x = F.conv2d(x, layer.conv.weight, layer.conv.bias, padding=layer.conv.kernel_size[0] // 2)
        return x.clamp(min=0) if relu else x

    @staticmethod
    def up(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        images = [[resized(channel.detach().numpy(), *size) for channel in image] for image in x]
        return torch.from_numpy(np.array(images))

    def reference(self, encoder: InstanceContextEncoder, inputs: list[torch.Tensor]) -> torch.Tensor:
        c3, c4, top = (self.conv(x, lateral) for x, lateral in zip(inputs, encoder.laterals, strict=True))
        height, width = top.shape[2:]
        context = []
        for cells, branch in zip((1, 2, 3, 6), encoder.pooling.branches, strict=True):
            grid = torch.zeros(*top.shape[:2], cells, cells, dtype=torch.float64)
            for i, j in itertools.product(range(cells), repeat=2):
                rows = slice(i * height // cells, math.ceil((i + 1) * height / cells))
                columns = slice(j * width // cells, math.ceil((j + 1) * width / cells))
                grid[:, :, i, j] = top[:, :, rows, columns].mean((2, 3))
            context.append(self.up(self.conv(grid, branch, relu=True), (height, width)))
        maps = [self.conv(torch.cat([*context, top], 1), encoder.pooling.bottleneck, relu=True)]
        for lateral in (c4, c3):
            below, (h, w) = maps[0], lateral.shape[2:]
            rows = [i * below.shape[2] // h for i in range(h)]
            columns = [j * below.shape[3] // w for j in range(w)]
            maps.insert(0, lateral + below[:, :, rows][:, :, :, columns])
        outputs = [self.conv(x, output) for x, output in zip(maps, encoder.outputs, strict=True)]
        return self.conv(torch.cat([self.up(x, self.sizes[0]) for x in outputs], 1), encoder.fusion)

    def test_equals_the_reference(self) -> None:
        encoder = self.build()
        (out,) = encoder(self.inputs())
        torch.testing.assert_close(out, self.reference(encoder, self.inputs()))

    def test_plugins_come_before_the_laterals(self) -> None:
        encoder = self.build(plugin={'type': 'BNSA', 'reduction': 2}, plugin_stages=(1,))
        c3, c4, c5 = self.inputs()
        plugged = encoder.plugins['1'](c4)
        assert not torch.allclose(plugged, c4, atol=0.1)
        torch.testing.assert_close(encoder([c3, c4, c5])[0], self.reference(encoder, [c3, plugged, c5]))

    def test_stage_mistakes_are_named(self) -> None:
        for stages in ((0, 3), (1, 1), (-1,)):
            with pytest.raises(ValueError, match=r'distinct plugin_stages within \[0, 1, 2\]'):
                self.build(plugin={'type': 'BNSA'}, plugin_stages=stages)


def test_masks_are_kernels_times_features() -> None:
    head = make_head().double().eval()
    torch.nn.init.normal_(head.instance_branch.mask_kernel.weight)
    x = random(2, 4, 5, 7)
    _, _, masks = head((x,))
    features = head.mask_branch(append_coordinates(x)).detach().numpy()
    _, _, kernels = head.instance_branch(append_coordinates(x))
    assert masks.shape == (2, 5, 10, 14) and masks.std() > 0.1
    for b, n in itertools.product(range(2), range(5)):
        small = np.zeros((5, 7))
        for y, column in itertools.product(range(5), range(7)):
            small[y, column] = sum(kernels[b, n, d].item() * features[b, d, y, column] for d in range(3))
        np.testing.assert_allclose(masks[b, n].detach().numpy(), resized(small, 10, 14), atol=1e-9)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match='multiple of groups, got 8 and 3'):
        make_head(groups=3)


def slow_dice(logits: np.ndarray, target: np.ndarray) -> float:
    product = squares = 0.0
    for x, y in zip(logits.ravel().tolist(), target.ravel().tolist(), strict=True):
        p = sigmoid(x)
        product += p * y
        squares += p * p + y * y
    return 2 * product / (squares + 1e-4)


def brute_force(scores: np.ndarray, masks: np.ndarray, labels: list[int], targets: np.ndarray) -> dict[int, int]:
    """Prediction -> target of the assignment with the largest sum of dice^0.8 p^0.2, by trying all."""
    count, wanted = len(masks), len(labels)
    value = [
        [slow_dice(masks[n], targets[t]) ** 0.8 * sigmoid(scores[n, labels[t]]) ** 0.2 for t in range(wanted)]
        for n in range(count)
    ]
    if wanted <= count:
        options = (list(zip(p, range(wanted), strict=True)) for p in itertools.permutations(range(count), wanted))
    else:
        options = (list(zip(range(count), p, strict=True)) for p in itertools.permutations(range(wanted), count))
    return dict(max(options, key=lambda pairs: sum(value[n][t] for n, t in pairs)))


def blobs(count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Rectangles, as uint8 masks."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, height, width), np.uint8)
    for mask in masks:
        y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
        mask[y : y + rng.integers(height // 4, height // 2 + 1), x : x + rng.integers(width // 4, width // 2 + 1)] = 1
    return masks


@pytest.mark.parametrize('wanted', [0, 1, 3, 5, 7])
def test_matching_is_the_best_of_all(wanted: int) -> None:
    """Five predictions; with seven targets two stay unmatched."""
    for seed in range(4):
        scores, masks = random(5, CLASSES, seed=seed), random(5, 4, 6, seed=seed + 50, scale=2)
        labels = [t % CLASSES for t in range(wanted)]
        targets = torch.from_numpy(blobs(wanted, 4, 6, seed)).double()
        result = SparseInstMatcher().assign(
            InstanceData(scores=scores, masks=masks),
            InstanceData(labels=torch.tensor(labels, dtype=torch.long), masks=targets),
        )
        expected = brute_force(scores.numpy(), masks.numpy(), labels, targets.numpy()) if wanted else {}
        assert len(expected) == min(5, wanted)
        assert {n: t - 1 for n, t in enumerate(result.gt_inds.tolist()) if t} == expected
        assert result.labels.tolist() == [labels[expected[n]] if n in expected else -1 for n in range(5)]


def make_targets(counts: tuple[int, ...], height: int, width: int) -> list[InstanceData]:
    return [
        InstanceData(
            labels=torch.arange(count) % CLASSES, masks=BitmapMasks(blobs(count, height, width, i), height, width)
        )
        for i, count in enumerate(counts)
    ]


class TestLosses:
    def slow_losses(self, cls: np.ndarray, obj: np.ndarray, masks: np.ndarray, batch: list[InstanceData]) -> dict:
        """All losses, one number at a time. Targets have four times the height and width of the predictions."""
        focal = bce = dice = objectness = 0.0
        matched = 0
        for b, gt in enumerate(batch):
            labels, full = gt.labels.tolist(), gt.masks.masks.astype(float)
            # Bilinear sampling at every fourth pixel's centre reads the mean of the four pixels around it.
            small = (full[:, 1::4, 1::4] + full[:, 2::4, 1::4] + full[:, 1::4, 2::4] + full[:, 2::4, 2::4]) / 4
            pairs = brute_force(cls[b], masks[b], labels, small) if labels else {}
            for n, k in itertools.product(range(cls.shape[1]), range(CLASSES)):
                p = sigmoid(cls[b, n, k])
                hit = n in pairs and labels[pairs[n]] == k
                focal += -0.25 * (1 - p) ** 2 * math.log(p) if hit else -0.75 * p**2 * math.log(1 - p)
            for n, t in pairs.items():
                matched += 1
                both = either = 0
                for x, y in zip(masks[b, n].ravel().tolist(), small[t].ravel().tolist(), strict=True):
                    p = sigmoid(x)
                    bce += -(y * math.log(p) + (1 - y) * math.log(1 - p))
                    both += p >= 0.4 and y > 0.5
                    either += p >= 0.4 or y > 0.5
                dice += 1 - slow_dice(masks[b, n], small[t])
                iou, p = both / either, sigmoid(obj[b, n])
                objectness += -(iou * math.log(p) + (1 - iou) * math.log(1 - p))
        wanted = max(sum(len(gt.labels) for gt in batch), 1)
        pixels = masks.shape[2] * masks.shape[3]
        return {
            'loss_cls': 2 * focal / wanted,
            'loss_obj': objectness / max(matched, 1),
            'loss_mask': 5 * bce / (max(matched, 1) * pixels),
            'loss_dice': 2 * dice / wanted,
        }

    @pytest.mark.parametrize('counts', [(0, 0), (1, 0), (0, 1), (2, 3), (4, 6)])
    def test_equal_loops_over_instances_and_pixels(self, counts: tuple[int, int]) -> None:
        """Five predictions an image; the last case has more targets than that."""
        cls, obj, masks = random(2, 5, CLASSES), random(2, 5, seed=1), random(2, 5, 4, 6, seed=2, scale=2)
        leaves = [x.requires_grad_() for x in (cls, obj, masks)]
        batch = make_targets(counts, 16, 24)
        losses = make_head().loss_by_feat(*leaves, batch_gt_instances=batch, batch_img_metas=[{}, {}])
        expected = self.slow_losses(*(x.detach().numpy() for x in leaves), batch)
        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            assert losses[name].item() == pytest.approx(value, rel=1e-5, abs=1e-12), name
        sum(loss.sum() for loss in losses.values()).backward()
        assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in leaves)

    def test_only_matched_predictions_learn_masks_and_objectness(self) -> None:
        cls, obj, masks = random(1, 5, CLASSES), random(1, 5, seed=1), random(1, 5, 4, 6, seed=2)
        leaves = [x.requires_grad_() for x in (cls, obj, masks)]
        losses = make_head().loss_by_feat(*leaves, batch_gt_instances=make_targets((2,), 16, 24), batch_img_metas=[{}])
        sum(loss.sum() for loss in losses.values()).backward()
        assert (obj.grad[0] != 0).sum() == 2 and (masks.grad[0].abs().sum((1, 2)) > 0).sum() == 2
        assert (cls.grad != 0).all()

    def test_a_target_whose_mask_was_cut_off_is_matched_by_nothing(self) -> None:
        """Its Dice score is 0 with every prediction, so that the matcher could take any of them."""
        cls, masks = random(1, 5, CLASSES), random(1, 5, 4, 6, seed=2)
        batch = make_targets((3,), 16, 24)
        batch[0].masks.masks[1] = 0
        labels, targets = make_head().get_targets(cls, masks, batch)
        whole = batch[0].labels[[0, 2]].tolist()
        assert sorted(labels[labels != CLASSES].tolist()) == sorted(whole) and len(targets) == 2
        assert (targets.sum((1, 2)) > 0).all()

    def test_the_compound_mask_loss_takes_their_place(self) -> None:
        """Its two shared parts are the pixel loss (equal) and a Dice loss without squares (worked out here)."""
        leaves = random(1, 5, CLASSES), random(1, 5, seed=1), random(1, 5, 4, 6, seed=2)
        batch = make_targets((2,), 16, 24)
        plain = make_head().loss_by_feat(*leaves, batch_gt_instances=batch, batch_img_metas=[{}])
        loss_mask = {'type': 'MBCEDiceLovaszLoss', 'bce_weight': 5.0, 'dice_weight': 2.0, 'lovasz_weight': 0.0}
        head = make_head(loss_mask=loss_mask, loss_dice=None)
        losses = head.loss_by_feat(*leaves, batch_gt_instances=batch, batch_img_metas=[{}])
        labels, targets = head.get_targets(leaves[0], leaves[2], batch)
        probs = leaves[2][labels != CLASSES].sigmoid()
        dice = 1 - 2 * (probs * targets).sum((1, 2)) / (probs + targets).sum((1, 2))
        assert 'loss_dice' not in losses
        assert losses['loss_mask'].item() == pytest.approx(plain['loss_mask'].item() + 2 * dice.mean().item())


class TestInference:
    def slow_predict(self, cls: np.ndarray, obj: np.ndarray, masks: np.ndarray, meta: dict) -> list[tuple]:
        found = []
        for n in range(len(cls)):
            scores = [math.sqrt(sigmoid(x) * sigmoid(obj[n])) for x in cls[n]]
            label = scores.index(max(scores))
            if scores[label] <= 0.005:
                continue
            probs = 1 / (1 + np.exp(-masks[n]))
            inside = [p for p in probs.ravel().tolist() if p > 0.45]
            score = scores[label] * (sum(inside) / len(inside) if inside else 0)
            (height, width), original = meta['img_shape'], meta['ori_shape']
            mask = resized(resized(probs, *meta['batch_input_shape'])[:height, :width], *original) > 0.45
            if not mask.any():
                continue
            ys, xs = np.nonzero(mask)
            found.append((label, score, mask, [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]))
        return found

    def test_equals_the_reference_for_images_of_different_sizes(self) -> None:
        metas = [
            {'batch_input_shape': (32, 64), 'img_shape': (32, 51), 'ori_shape': (45, 73)},  # padded to the right
            {'batch_input_shape': (32, 64), 'img_shape': (23, 64), 'ori_shape': (23, 64)},  # padded below
            {'batch_input_shape': (32, 64), 'img_shape': (31, 63), 'ori_shape': (17, 33)},  # odd, larger than it was
        ]
        cls, obj = random(3, 6, CLASSES, scale=3), random(3, 6, seed=1, scale=3)
        masks = random(3, 6, 8, 16, seed=2, scale=2) - 1
        cls[0, 0] = -20  # below the score threshold
        masks[0, 1] = -5  # no foreground
        cls[1] = -20  # nothing at all
        results = make_head(num_masks=6).predict_by_feat(cls, obj, masks, batch_img_metas=metas, rescale=True)
        counts = []
        for b, result in enumerate(results):
            expected = self.slow_predict(cls[b].numpy(), obj[b].numpy(), masks[b].numpy(), metas[b])
            counts.append(len(expected))
            assert result.masks.shape == (len(expected), *metas[b]['ori_shape']) and result.masks.dtype == torch.bool
            assert result.labels.tolist() == [label for label, *_ in expected]
            assert result.scores.tolist() == pytest.approx([score for _, score, *_ in expected])
            assert result.bboxes.tolist() == [box for *_, box in expected]
            for mask, (_, _, wanted, _) in zip(result.masks, expected, strict=True):
                np.testing.assert_array_equal(mask.numpy(), wanted)
        assert counts == [3, 0, 6]

    def test_without_rescale_masks_have_the_inputs_size(self) -> None:
        meta = {'batch_input_shape': (32, 32), 'img_shape': (20, 30), 'ori_shape': (40, 60)}
        (result,) = make_head().predict_by_feat(
            random(1, 5, CLASSES), random(1, 5), random(1, 5, 8, 8, scale=3), batch_img_metas=[meta]
        )
        assert result.masks.shape == (5, 20, 30)


def small_model(**head) -> torch.nn.Module:
    """The small config at a fraction of its widths."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIGS / 'quickstart/sparseinst_real.py').model
    # by default the last norm of each block starts at zero, and the layers before it get no gradient yet
    cfg.backbone.update(base_channels=8, stem_channels=8, zero_init_residual=False)
    cfg.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    cfg.mask_head.update(in_channels=16, feat_channels=16, num_masks=8, kernel_channels=8, **head)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def make_batch(counts: tuple[int, ...], sizes: tuple[tuple[int, int], ...] = ((50, 63), (71, 40))) -> dict:
    samples = []
    for size, gt in zip(sizes, (make_targets((c,), *s)[0] for c, s in zip(counts, sizes, strict=True)), strict=True):
        sample = DetDataSample(metainfo={'img_shape': size, 'ori_shape': size, 'scale_factor': (1.0, 1.0)})
        sample.gt_instances = InstanceData(labels=gt.labels, masks=gt.masks, bboxes=torch.zeros(len(gt.labels), 4))
        samples.append(sample)
    gen = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, *s), generator=gen, dtype=torch.uint8) for s in sizes]
    return {'inputs': images, 'data_samples': samples}


def losses_of(model: torch.nn.Module, batch: dict) -> dict[str, torch.Tensor]:
    return model(**model.data_preprocessor(batch, training=True), mode='loss')


@pytest.mark.parametrize('counts', [(0, 0), (0, 2), (1, 0), (12, 9)])
def test_every_parameter_gets_a_finite_gradient(counts: tuple[int, int]) -> None:
    """Images of odd and different sizes, without targets, with some, with more than there are masks."""
    model = small_model()
    loss, _ = model.parse_losses(losses_of(model, make_batch(counts)))
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, grad in grads.items() if grad is None or not torch.isfinite(grad).all()] == []
    if sum(counts):
        assert [name for name, grad in grads.items() if not grad.any()] == []


def test_losses_are_those_of_float32_under_autocast() -> None:
    model = small_model()
    expected = losses_of(model, make_batch((3, 2)))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = losses_of(model, make_batch((3, 2)))
    model.parse_losses(losses)[0].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=0.03, atol=0.03)


def test_matching_is_that_of_float32_under_autocast() -> None:
    """The predictions' scores differ by less than bfloat16 resolves."""
    cls, obj = torch.zeros(1, 40, CLASSES), torch.zeros(1, 40)
    masks = (random(4, 6, scale=2) + random(1, 40, 4, 6, seed=1, scale=1e-3)).float()
    head, batch = make_head(num_masks=40), make_targets((3,), 16, 24)
    expected = head.loss_by_feat(cls, obj, masks, batch_gt_instances=batch, batch_img_metas=[{}])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = head.loss_by_feat(cls, obj, masks, batch_gt_instances=batch, batch_img_metas=[{}])
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=0, atol=0)


def test_unpadded_target_masks_give_the_same_losses() -> None:
    model = small_model()
    padded = losses_of(model, make_batch((3, 2)))
    model.data_preprocessor.pad_mask = False
    unpadded = losses_of(model, make_batch((3, 2)))
    assert padded.keys() == unpadded.keys()
    for name, loss in padded.items():
        torch.testing.assert_close(loss, unpadded[name], rtol=0, atol=0)


def test_inference_of_odd_sizes_cuts_the_padding_off() -> None:
    """With thresholds that everything exceeds, every mask is the whole image."""
    model = small_model().eval()
    model.mask_head.test_cfg.update(score_thr=-1, mask_thr=-1)
    with torch.inference_mode():
        results = model(**model.data_preprocessor(make_batch((0, 0)), training=False), mode='predict')
    for result, (height, width) in zip(results, ((50, 63), (71, 40)), strict=True):
        assert result.pred_instances.masks.shape == (8, height, width) and result.pred_instances.masks.all()
        assert result.pred_instances.bboxes.tolist() == [[0, 0, width, height]] * 8


def build_baseline(name: str, num_classes: int) -> torch.nn.Module:
    """Without memory behind the weights, which is quick."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIGS / f'baselines/{name}.py').model
    cfg.backbone.init_cfg = None
    cfg.mask_head.num_classes = num_classes
    with torch.device('meta'):
        return MODELS.build(cfg)


def layer(inputs: int, outputs: int, kernel: int = 1) -> int:
    """Weights and biases of one convolution or linear layer."""
    return inputs * outputs * kernel**2 + outputs


RESNET_50, RESNET_50_NORMS = 23_454_912, 53_120  # torchvision's 25,557,032 without the classifier's 2,049,000
ENCODER = sum(layer(c, 256) for c in (512, 1024, 2048)) + 3 * layer(256, 256, 3)
ENCODER += 4 * layer(256, 64) + layer(512, 256) + layer(768, 256)
CONVS = layer(258, 256, 3) + 3 * layer(256, 256, 3)
DECODER = 2 * CONVS + layer(256, 128)


def test_parameters_of_plain_iam_explain_the_papers_number() -> None:
    """31.618 M are the four-class model with every parameter of it; with 80 classes it would be 31.584 M."""
    heads = [layer(256, 100, 3) + layer(256, k) + layer(256, 128) + layer(256, 1) for k in (4, 80)]
    assert RESNET_50 + RESNET_50_NORMS + ENCODER + DECODER + heads[0] == 31_617_961
    assert RESNET_50 + ENCODER + DECODER + heads[1] == 31_584_373
    assert sum(p.numel() for p in build_baseline('sparseinst_r50_iam', 4).parameters()) == 31_617_961


def test_parameters_of_group_iam_and_of_bnsa() -> None:
    head = layer(64, 400, 3) + layer(1024, 1024) + layer(1024, 4) + layer(1024, 128) + layer(1024, 1)
    plain = sum(p.numel() for p in build_baseline('sparseinst_r50_giam', 4).parameters())
    assert plain == RESNET_50 + RESNET_50_NORMS + ENCODER + DECODER + head
    bnsa = sum(p.numel() for p in build_baseline('sparseinst_r50_giam_bnsa', 4).parameters())
    assert bnsa - plain == 4_270_592  # as on Mask R-CNN


def test_the_mask_loss_config_has_the_compound_loss_alone() -> None:
    head = build_baseline('sparseinst_r50_giam_mbcedicels', CLASSES).mask_head
    weights = (head.loss_mask.bce_weight, head.loss_mask.dice_weight, head.loss_mask.lovasz_weight)
    assert weights == (5.0, 2.0, 0.2) and head.loss_dice is None
