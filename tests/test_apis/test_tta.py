"""Test-time augmentation, on models that see the same in every view by construction."""

from pathlib import Path

from mmdet_ir.apis.tta import check_tta, set_tta, views_pipeline
from mmdet_ir.models.test_time_augs.tta import IRTTAModel

import cv2
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
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import mask2bbox
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

CONFIGS = Path(__file__).parents[2] / 'configs'
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
@pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn'])
def test_one_view_is_what_the_model_predicts(name: str, tmp_path: Path) -> None:
    config = tmp_path / 'tiny.py'
    config.write_text(f"_base_ = 'mmdet::_base_/models/{name}_r50_fpn.py'\n")
    cfg = Config.fromfile(config).model
    cfg.backbone.update(depth=18, base_channels=8, stem_channels=8, init_cfg=None)
    cfg.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    cfg.rpn_head.update(in_channels=16, feat_channels=16)
    cfg.test_cfg.rcnn.max_per_img = 6
    cfg.test_cfg.rcnn.score_thr = 0.0
    for part in (cfg.roi_head.bbox_roi_extractor, cfg.roi_head.mask_roi_extractor):
        part.out_channels = 16
    heads = cfg.roi_head.bbox_head if isinstance(cfg.roi_head.bbox_head, list) else [cfg.roi_head.bbox_head]
    for head in heads:
        head.update(in_channels=16, fc_out_channels=16, num_classes=4)
    cfg.roi_head.mask_head.update(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=4)
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    data = collated([scene(), scene()[::-1].copy()], flips=(), scales=2.0)
    expected = [sample.pred_instances.clone() for sample in model.test_step(plain(data))]
    tta = IRTTAModel(model, masks='roi')
    for sample, want in zip(tta.test_step(data), expected, strict=True):
        assert len(want) == 6
        assert 0 < want.masks.float().mean() < 1
        torch.testing.assert_close(sample.pred_instances.bboxes, want.bboxes)
        torch.testing.assert_close(sample.pred_instances.scores, want.scores)
        assert torch.equal(sample.pred_instances.labels, want.labels)
        assert (sample.pred_instances.masks != want.masks).float().mean() < 1e-3


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
    padded = {'type': 'FixShapeResize', 'width': 300, 'height': 200, 'keep_ratio': True}
    with pytest.raises(ValueError, match=r'FixShapeResize\(keep_ratio=True\) pads the image, which a flip'):
        views_pipeline([load, padded, pack])


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


def test_views_that_are_loaded_in_another_way_are_refused(tmp_path: Path) -> None:
    """What a config inherits from MMDetection's RTMDet: its loader makes one grey level of these counts."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.arange(6000, 6240, dtype=np.uint16).reshape(15, 16))
    ours = [
        {'type': 'LoadIRImageFromFile', 'channels': 1, 'raw': True},
        {'type': 'ToneMapping', 'method': 'percentile'},
    ]
    stock = [{'type': 'LoadImageFromFile', 'backend_args': None}]
    read = [
        Compose([TRANSFORMS.build(step) for step in steps])({'img_path': str(tmp_path / 'a.png')})['img']
        for steps in (ours, stock)
    ]
    assert len(np.unique(read[0])) > 200 and len(np.unique(read[1])) < 3
    views = [
        {'type': 'TestTimeAug', 'transforms': [[{'type': 'Resize', 'scale': (8, 8)}], [{'type': 'PackDetInputs'}]]}
    ]

    def settings(pipeline: list, dataset: list = ours) -> Config:
        test = {'dataset': {'dataset': {'pipeline': [*dataset, {'type': 'PackDetInputs'}]}}}
        return Config({'model': {'type': 'M'}, 'test_dataloader': test, 'tta_pipeline': pipeline})

    for wrong in (stock, ours[:1], [ours[0], {**ours[1], 'method': 'linear'}]):
        with pytest.raises(ValueError, match='tta_pipeline: expected the loader and the tone mapping of the test'):
            set_tta(settings([*wrong, *views]))
    set_tta(settings([*ours, *views]))
    set_tta(settings([*stock, *views], [{'type': 'LoadImageFromFile'}]))
    cfg = settings(None)
    cfg.tta_views = {'flips': 'vertical'}
    set_tta(cfg)
    assert cfg.test_dataloader.dataset.dataset.pipeline[2].type == 'TestTimeAug'


def test_masks_from_other_heads_are_not_merged_as_boxes() -> None:
    """MMDetection's merging of boxes fails at the first image with masks."""
    model = MODELS.build(Config.fromfile(CONFIGS / 'quickstart/rtmdet-ins_real.py').model)
    assert not model.with_mask
    with pytest.raises(ValueError, match="tta_model: expected type='IRTTAModel' for a model with masks"):
        check_tta(DetTTAModel(module=model))


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
