"""Test-time augmentation, on models that see the same in every view by construction."""

from mmdet_ir.apis.tta import check_tta, set_tta, views_pipeline
from mmdet_ir.models.tta import (
    IRTTAModel,
    average_shape,
    from_view,
    group_instances,
    merge_boxes,
    merge_instances,
    to_view,
)

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmcv.transforms import Compose
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.detectors.base import BaseDetector
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import mask2bbox
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

META = ('img_id', 'ori_shape', 'img_shape', 'scale_factor')
ALL_FLIPS = ('horizontal', 'vertical', 'diagonal')
HEIGHT, WIDTH = 31, 43  # odd, so that a flip about the wrong axis is off by a pixel


@pytest.fixture(autouse=True)
def mmdet_scope() -> None:
    init_default_scope('mmdet')


def scene() -> np.ndarray:
    """Three targets, told apart by their grey values; two are of one class. Shape (H, W, 3)."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[3:12, 2:17] = 250
    image[20:27, 30:43] = 120
    image[9:20, 22:27] = 121
    image[3:6, 2:9] = 0  # not a rectangle
    return image


def collated(images: list[np.ndarray], *, pad: int = 0, **views) -> dict:
    """Batch of views from a test pipeline."""
    steps = [{'type': 'Resize', 'scale': (WIDTH, HEIGHT), 'keep_ratio': True, 'interpolation': 'nearest'}]
    steps += [{'type': 'Pad', 'size_divisor': pad}] if pad else []
    pipeline = Compose(
        [
            TRANSFORMS.build(step)
            for step in views_pipeline([*steps, {'type': 'PackDetInputs', 'meta_keys': META}], **views)
        ]
    )
    shape = {'ori_shape': (HEIGHT, WIDTH), 'img_shape': (HEIGHT, WIDTH)}
    return pseudo_collate([pipeline({'img': image, 'img_id': i, **shape}) for i, image in enumerate(images)])


def plain(data: dict) -> dict:
    return {key: value[0] for key, value in data.items()}


def visible(image: Tensor) -> InstanceData:
    """An instance for every grey value, in the frame of the image; classes are tens of grey levels."""
    values = [value for value in image[0].unique().tolist() if value > 0]
    masks = torch.stack([image[0] == value for value in values]) if values else torch.zeros(0, *image.shape[1:]).bool()
    return InstanceData(
        bboxes=mask2bbox(masks),
        scores=torch.tensor([value / 255 for value in values]),
        labels=torch.tensor([int(value) // 10 for value in values], dtype=torch.long),
        masks=masks,
    )


class SingleStage(nn.Module):
    """Finds grey values."""

    def test_step(self, data: dict) -> list[DetDataSample]:
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            (width, height), shape = sample.scale_factor, sample.ori_shape
            inner = image[:, : round(shape[0] * height), : round(shape[1] * width)]
            sample.pred_instances = visible(F.interpolate(inner[None].float(), shape, mode='nearest')[0])
        return data['data_samples']


class Finder(StandardRoIHead):
    """Finds grey values; the mask's logits are what RoIAlign reads from the image."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.test_cfg = ConfigDict(mask_thr_binary=0.5)
        self.mask_head = FCNMaskHead(
            num_convs=1, in_channels=1, conv_out_channels=1, num_classes=1, class_agnostic=True
        )

    with_mask = True
    with_bbox = True

    def predict_bbox(self, x: tuple, metas: list, proposals: list, rcnn_test_cfg: dict, rescale: bool) -> list:
        results = [visible(image) for image in x[0]]
        for result in results:
            del result.masks
        return results

    def _mask_forward(self, x: tuple, rois: Tensor) -> dict:
        pooled = torchvision.ops.roi_align(x[0][:, :1], rois, 14, sampling_ratio=2, aligned=True)
        return {'mask_preds': pooled / 40 - 1}


class NoProposals(nn.Module):
    def predict(self, x: tuple, samples: list, rescale: bool) -> list:
        return [InstanceData() for _ in samples]


class TwoStage(TwoStageDetector):
    def __init__(self) -> None:
        BaseDetector.__init__(self, DetDataPreprocessor())
        self.rpn_head = NoProposals()
        self.roi_head = Finder()

    def extract_feat(self, batch_inputs: Tensor) -> tuple:
        return (batch_inputs,)


def assert_same(got: InstanceData, expected: InstanceData) -> None:
    """The same instances, best first."""
    expected = expected[expected.scores.argsort(descending=True)]
    assert len(got) == len(expected)
    torch.testing.assert_close(got.bboxes, expected.bboxes)
    torch.testing.assert_close(got.scores, expected.scores)
    assert torch.equal(got.labels, expected.labels)
    assert torch.equal(got.masks, expected.masks)


@pytest.mark.parametrize('scales', [(1.0,), (1.0, 2.0)])
def test_a_single_stage_model_that_sees_the_same_in_every_view(scales: tuple) -> None:
    data = collated([scene(), scene()[::-1].copy()], flips=ALL_FLIPS, scales=scales, pad=32)
    assert len(data['inputs']) == 4 * len(scales)
    expected = SingleStage().test_step(plain(data))
    expected = [sample.pred_instances.clone() for sample in expected]
    merged = IRTTAModel(SingleStage()).test_step(data)
    for sample, want in zip(merged, expected, strict=True):
        assert_same(sample.pred_instances, want)
        assert not sample.flip
    # the oracle itself: three targets, the best of them in the upper left corner of the first image
    assert merged[0].pred_instances.bboxes[0].tolist() == [2, 3, 17, 12]
    assert merged[1].pred_instances.bboxes[0].tolist() == [2, HEIGHT - 12, 17, HEIGHT - 3]


def test_models_that_find_no_masks_or_no_boxes() -> None:
    class Boxes(SingleStage):
        def test_step(self, data: dict) -> list[DetDataSample]:
            samples = super().test_step(data)
            for sample in samples:
                del sample.pred_instances.masks
            return samples

    class Masks(SingleStage):
        def test_step(self, data: dict) -> list[DetDataSample]:
            samples = super().test_step(data)
            for sample in samples:
                sample.pred_instances.bboxes.zero_()
            return samples

    found = IRTTAModel(Boxes()).test_step(collated([scene()], flips=ALL_FLIPS))[0].pred_instances
    assert 'masks' not in found
    assert found.bboxes.tolist() == [[2, 3, 17, 12], [22, 9, 27, 20], [30, 20, 43, 27]]
    found = IRTTAModel(Masks()).test_step(collated([scene()], flips=ALL_FLIPS))[0].pred_instances
    assert found.masks.sum((1, 2)).tolist() == [9 * 15 - 3 * 7, 5 * 11, 7 * 13]
    assert not found.bboxes.any()


@torch.no_grad()
def test_a_two_stage_model_that_sees_the_same_in_every_view() -> None:
    model = TwoStage()
    data = collated([scene(), scene()[::-1].copy()], flips=ALL_FLIPS, pad=32)
    expected = [sample.pred_instances.clone() for sample in model.test_step(plain(data))]
    tta = IRTTAModel(model)
    assert tta.in_rois
    merged = tta.test_step(data)
    for sample, want in zip(merged, expected, strict=True):
        assert_same(sample.pred_instances, want)
    assert merged[0].pred_instances.masks.shape == (3, HEIGHT, WIDTH)
    for image in merged:  # and the masks are those of the scene
        areas = dict(zip(image.pred_instances.labels.tolist(), image.pred_instances.masks.sum((1, 2)), strict=True))
        assert abs(int(areas[25]) - (9 * 15 - 3 * 7)) < 12


@torch.no_grad()
def test_boxes_of_scaled_and_padded_views_come_back() -> None:
    merged = IRTTAModel(TwoStage()).test_step(collated([scene()], flips=ALL_FLIPS, scales=(1.0, 2.0, 3.0), pad=32))
    torch.testing.assert_close(merged[0].pred_instances.bboxes[0], torch.tensor([2.0, 3, 17, 12]))
    assert len(merged[0].pred_instances) == 3


@torch.no_grad()
def test_mask_probabilities_are_averaged_in_the_unflipped_roi() -> None:
    class Scripted(Finder):
        def _mask_forward(self, x: tuple, rois: Tensor) -> dict:
            first = torch.tensor([[0.9, 0.2], [0.6, 0.1]])
            mirrored = torch.tensor([[0.7, 0.3], [0.1, 0.7]])  # unflipped: 0.3 0.7 / 0.7 0.1
            flipped = x[0][0, 0, 0, 0] > 0
            return {'mask_preds': (mirrored if flipped else first).logit().expand(len(rois), 1, 2, 2)}

        def predict_bbox(self, x: tuple, *args, **kwargs) -> list:
            box = torch.tensor([[2.0, 0, 8, 4]]) if x[0][0, 0, 0, 0] > 0 else torch.tensor([[0.0, 0, 6, 4]])
            return [InstanceData(bboxes=box, scores=torch.tensor([0.5]), labels=torch.tensor([0]))]

    model = TwoStage()
    model.roi_head = Scripted()
    model.roi_head.test_cfg.mask_thr_binary = -1  # probabilities, times 255
    image = np.zeros((4, 8, 3), np.uint8)
    image[0, 7] = 255
    samples = [
        DetDataSample(metainfo={'ori_shape': (4, 8), 'img_shape': (4, 8), 'scale_factor': (1.0, 1.0), **flip})
        for flip in ({'flip': False, 'flip_direction': None}, {'flip': True, 'flip_direction': 'horizontal'})
    ]
    inputs = [torch.from_numpy(view.copy()).permute(2, 0, 1) for view in (image, image[:, ::-1])]
    data = {'inputs': [[view] for view in inputs], 'data_samples': [[sample] for sample in samples]}
    masks = IRTTAModel(model).test_step(data)[0].pred_instances.masks
    mean = np.array([[0.6, 0.45], [0.65, 0.1]])
    # corners of the box, where the pasted mask is not interpolated; outside it is 0
    corners = masks[0][[0, 0, 3, 3], [0, 5, 0, 5]].numpy() / 255
    inside = masks[0][1, 1].item() / 255
    weight_y, weight_x = 0.25, 0.0  # pixel (1, 1) lies at (1.5, 1.5): between the rows, at the left column's centre
    expected = (1 - weight_y) * mean[0, 0] + weight_y * mean[1, 0]
    assert weight_x == 0
    assert inside == pytest.approx(expected, abs=1 / 255)
    assert corners[0] > corners[1] > corners[3]
    assert masks[0][:, 7].max() == 0


def test_merged_boxes_are_those_of_torchvision() -> None:
    rng = torch.Generator().manual_seed(0)
    views = []
    for _ in range(3):
        corner = torch.rand(40, 2, generator=rng) * torch.tensor([100.0, 60.0])
        boxes = torch.cat([corner, corner + 10 + 40 * torch.rand(40, 2, generator=rng)], dim=1)
        labels, scores = torch.randint(0, 3, (40,), generator=rng), torch.rand(40, generator=rng)
        views.append(InstanceData(bboxes=boxes, scores=scores, labels=labels))
    boxes, scores, labels = (torch.cat([view[key] for view in views]) for key in ('bboxes', 'scores', 'labels'))
    kept = torchvision.ops.batched_nms(boxes, scores, labels, 0.3)
    assert 20 < len(kept) < 120
    # the score of each: what the three views say, one box at a time
    overlaps = torchvision.ops.box_iou(boxes, boxes)
    expected = []
    for i in kept.tolist():
        best = [0.0, 0.0, 0.0]
        for j in range(120):
            if labels[i] == labels[j] and overlaps[i, j] >= 0.3:
                best[j // 40] = max(best[j // 40], scores[j].item())
        expected.append(sum(best) / 3)
    order = np.argsort(np.negative(expected), kind='stable')[:20]
    merged = merge_boxes(views, nms={'type': 'nms', 'iou_threshold': 0.3}, max_per_img=20)
    torch.testing.assert_close(merged.bboxes, boxes[kept][order])
    torch.testing.assert_close(merged.scores, torch.tensor(expected)[order])
    assert torch.equal(merged.labels, labels[kept][order])


def test_a_view_that_misses_an_instance_lowers_its_score() -> None:
    def view(score: float, x: float) -> InstanceData:
        box = torch.tensor([[x, 2.0, x + 4, 6.0]])
        mask = torch.zeros(1, 8, 20, dtype=torch.bool)
        mask[0, 2:6, int(x) : int(x) + 4] = True
        return InstanceData(bboxes=box, scores=torch.tensor([score]), labels=torch.tensor([1]), masks=mask)

    views = [view(0.8, 3), view(0.9, 3), view(0.6, 12), view(0.4, 4)]
    views[3].labels[0] = 2  # another class, where the first two views see theirs
    settings = {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 9}
    for merged in (merge_boxes(views, **settings), merge_instances(views, **settings)):
        torch.testing.assert_close(merged.scores, torch.tensor([(0.8 + 0.9) / 4, 0.6 / 4, 0.4 / 4]))
        assert merged.bboxes[:, 0].tolist() == [3, 12, 4]
        assert merged.labels.tolist() == [1, 1, 2]


@pytest.mark.parametrize('direction', [None, *ALL_FLIPS])
def test_mapping_a_box_by_hand(direction: str | None) -> None:
    meta = {
        'ori_shape': (31, 43),
        'scale_factor': (2.0, 3.0),
        'flip': direction is not None,
        'flip_direction': direction,
    }
    x1, x2 = (43 - 9, 43 - 4) if direction in ('horizontal', 'diagonal') else (4, 9)
    y1, y2 = (31 - 8, 31 - 5) if direction in ('vertical', 'diagonal') else (5, 8)
    box, seen = torch.tensor([[4.0, 5, 9, 8]]), torch.tensor([[2.0 * x1, 3.0 * y1, 2.0 * x2, 3.0 * y2]])
    torch.testing.assert_close(to_view(box, meta), seen)
    torch.testing.assert_close(from_view(seen, meta), box)


@torch.no_grad()
@pytest.mark.parametrize('model', [TwoStage, SingleStage])
def test_images_without_detections(model: type) -> None:
    empty = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for images in ([empty], [scene(), empty]):
        last = IRTTAModel(model()).test_step(collated(images))[-1].pred_instances
        assert len(last) == 0
        assert last.masks.shape == (0, HEIGHT, WIDTH)
        assert last.masks.dtype == torch.bool
        assert last.bboxes.shape == (0, 4)


def test_average_shape_against_distances_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    blobs = np.zeros((3, 14, 17), dtype=bool)
    for blob in blobs:
        y, x = rng.integers(1, 5, 2)
        blob[y : y + 8, x : x + 9] = rng.random((8, 9)) < 0.9
    pixels = np.stack(np.meshgrid(np.arange(-1, 15), np.arange(-1, 18), indexing='ij'), axis=-1).reshape(-1, 2)
    total = 0
    for blob in blobs:
        inside = np.pad(blob, 1).reshape(-1)
        distances = np.hypot(*(pixels[:, None] - pixels[None]).transpose(2, 0, 1))
        nearest = [distances[i, inside != inside[i]].min() for i in range(len(pixels))]
        total = total + np.where(inside, nearest, np.negative(nearest))
    total = total.reshape(16, 19)[1:-1, 1:-1]
    clear = np.abs(total) > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(average_shape(blobs)[clear], total[clear] > 0)


def test_average_shape_of_shifted_and_of_empty_masks() -> None:
    left, right, middle, nothing = np.zeros((4, 9, 20), dtype=bool)
    left[2:7, 3:9], right[2:7, 7:13], middle[2:7, 5:11] = True, True, True
    assert not average_shape(np.stack([left, right]))[:, [3, 12]].any()
    np.testing.assert_array_equal(average_shape(np.stack([left, right]))[4, 5:11], middle[4, 5:11])
    np.testing.assert_array_equal(average_shape(np.stack([nothing, left])), left)
    np.testing.assert_array_equal(average_shape(np.stack([nothing, nothing])), nothing)
    wider = left.copy()
    wider[2:7, 9] = True  # differs in one column: distances 1 and -1, so the first mask decides
    np.testing.assert_array_equal(average_shape(np.stack([left, wider])), left)
    np.testing.assert_array_equal(average_shape(np.stack([wider, left])), wider)


def test_instances_are_grouped_across_views_within_a_class() -> None:
    def bar(start: int, end: int) -> np.ndarray:
        return np.broadcast_to((np.arange(20) >= start) & (np.arange(20) < end), (2, 20))

    masks = np.stack([bar(0, 10), bar(0, 9), bar(0, 10), bar(0, 6), bar(0, 10), bar(12, 20)])
    scores = np.array([0.9, 0.8, 0.7, 0.95, 0.6, 0.5])
    labels = np.array([1, 1, 1, 1, 2, 1])
    views = np.array([0, 0, 1, 1, 1, 1])
    # 3 (IoU 6/9 with 1, 6/10 with 0) is best and takes 1; 0 takes 2; 4 is of another class, 5 elsewhere
    assert group_instances(masks, scores, labels, views, 0.55) == [[3, 1], [0, 2], [4], [5]]
    assert group_instances(masks, scores, labels, views, 0.95) == [[3], [0, 2], [1], [4], [5]]
    nothing = np.zeros(0, dtype=int)
    assert group_instances(np.zeros((0, 2, 2), dtype=bool), np.zeros(0), nothing, nothing, 0.5) == []


def test_a_pipeline_is_loaded_once_and_flipped_before_padding() -> None:
    load, tone = (
        {'type': 'LoadIRImageFromFile', 'channels': 1, 'raw': True},
        {'type': 'ToneMapping', 'method': 'percentile'},
    )
    resize, pad = (
        {'type': 'mmdet.Resize', 'scale': (640, 512), 'keep_ratio': True},
        {'type': 'Pad', 'size': (512, 640)},
    )
    pack = {'type': 'PackDetInputs', 'meta_keys': ('img_id', 'sensor')}
    got = views_pipeline([load, tone, resize, pad, pack], flips=('horizontal', 'vertical'), scales=(1, 0.5))
    assert got[:2] == [load, tone]
    resizes, flips, pads, packs = got[2]['transforms']
    assert [step['scale'] for step in resizes] == [(640, 512), (320, 256)]
    assert [step.get('direction') for step in flips] == [None, 'horizontal', 'vertical']
    assert [step['prob'] for step in flips] == [0.0, 1.0, 1.0]
    assert pads == [pad]
    assert set(packs[0]['meta_keys']) >= {'sensor', 'page', 'ori_shape', 'scale_factor', 'flip', 'flip_direction'}
    assert pack['meta_keys'] == ('img_id', 'sensor')
    assert [len(step) for step in views_pipeline([load, pack])[1]['transforms']] == [2, 1]
    assert views_pipeline([load, pack], scales=2)[1]['transforms'][0][0]['scale_factor'] == 2


@pytest.mark.parametrize(
    ('views', 'message'),
    [
        ({'flips': 'left'}, r"tta_views.flips: expected different ones of .* got \['left'\]"),
        ({'flips': ['vertical', 'vertical']}, r'tta_views.flips: expected different ones'),
        ({'scales': [1.0, 0]}, r'tta_views.scales: expected one positive number or more, got \[1.0, 0\]'),
        ({'scales': []}, r'tta_views.scales: expected one positive number or more'),
        ({'scales': 1.5}, r'tta_views.scales: expected none above 1, because the test pipeline pads'),
    ],
)
def test_views_that_cannot_be_made(views: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        views_pipeline(
            [{'type': 'Resize', 'scale': (8, 8)}, {'type': 'Pad', 'size': (8, 8)}, {'type': 'Pack'}], **views
        )


def test_settings_of_the_config_stay_in_force() -> None:
    pipeline = [{'type': 'LoadIRImageFromFile'}, {'type': 'PackDetInputs'}]
    base = {'model': {'type': 'M'}, 'test_dataloader': {'dataset': {'dataset': {'pipeline': pipeline}}}}
    cfg = Config({**base, 'tta_views': {'flips': 'vertical'}})
    set_tta(cfg)
    assert cfg.model == {'type': 'IRTTAModel', 'module': {'type': 'M'}}
    assert cfg.test_dataloader.dataset.dataset.pipeline[1].transforms[0][1].direction == 'vertical'
    cfg = Config({**base, 'tta_pipeline': [{'type': 'Own'}], 'tta_model': {'type': 'OwnModel', 'masks': 'shape'}})
    set_tta(cfg)
    assert cfg.model == {'type': 'OwnModel', 'masks': 'shape', 'module': {'type': 'M'}}
    assert cfg.test_dataloader.dataset.dataset.pipeline == [{'type': 'Own'}]
    with pytest.raises(ValueError, match='tta_views: expected either tta_views or tta_pipeline'):
        set_tta(Config({**base, 'tta_pipeline': [], 'tta_views': {'flips': []}}))
    with pytest.raises(ValueError, match=r"tta_views: expected the keys 'flips' and 'scales', got \['flip'\]"):
        set_tta(Config({**base, 'tta_views': {'flip': []}}))


def test_models_that_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match=r"masks='roi' needs a two-stage model .* got SingleStage"):
        IRTTAModel(SingleStage(), masks='roi')
    with pytest.raises(ValueError, match="masks: expected 'auto', 'roi' or 'shape', got 'mean'"):
        IRTTAModel(SingleStage(), masks='mean')
    with pytest.raises(ValueError, match=r"tta_cfg: expected \['max_per_img', 'nms'\], got \['max'\]"):
        IRTTAModel(SingleStage(), tta_cfg={'max': 3})
    with pytest.raises(ValueError, match=r"tta_cfg.nms: expected type 'nms' and an iou_threshold, got .*soft_nms"):
        IRTTAModel(SingleStage(), tta_cfg={'nms': {'type': 'soft_nms', 'iou_threshold': 0.5}})
    with pytest.raises(ValueError, match="tta_model: expected type='IRTTAModel' for a model with masks"):
        check_tta(DetTTAModel(module=TwoStage()))
    check_tta(IRTTAModel(TwoStage()))


def test_batches_that_are_no_views() -> None:
    data = collated([scene()])
    with pytest.raises(ValueError, match="expected TestTimeAug as the pipeline's last transform"):
        IRTTAModel(TwoStage()).test_step(plain(data))
    data['data_samples'] = [[DetDataSample(metainfo={'ori_shape': (1, 1)})]] * 2
    with pytest.raises(ValueError, match=r"meta_keys of PackDetInputs: expected .* got no \['scale_factor', 'flip'\]"):
        IRTTAModel(TwoStage()).test_step(data)


def test_settings_come_from_the_model_where_none_are_given() -> None:
    model = SingleStage()
    model.test_cfg = ConfigDict(rcnn={'nms': {'type': 'soft_nms', 'iou_threshold': 0.6}, 'max_per_img': 7})
    assert IRTTAModel(model).tta_cfg == {'nms': {'type': 'nms', 'iou_threshold': 0.6}, 'max_per_img': 7}
    assert IRTTAModel(model, tta_cfg={'max_per_img': 3}).tta_cfg.max_per_img == 3
    assert IRTTAModel(SingleStage()).tta_cfg == {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 100}
