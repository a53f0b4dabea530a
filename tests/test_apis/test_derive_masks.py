"""Masks from boxes against shapes drawn by hand, pycocotools' rasteriser and MMDetection's own inference."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

from mmdet_ir.apis.derive_masks import derive_masks, pixels_in_box
from mmdet_ir.apis.masks_in_boxes import MasksInBoxes
from mmdet_ir.datasets.validation.annotations import Needs, check_for_training

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

REPO = Path(__file__).parents[2]
HEIGHT, WIDTH = 64, 96
HOT = ((24, 30), (7, 12))  # ellipse: centre x and y, half axes
COLD = (60, 20, 20, 10)  # rectangle: x, y, width, height
REGION = {'size': [HEIGHT, WIDTH], 'counts': [50, 14] * 90 + [6 * HEIGHT]}  # the lower part of 90 columns


def ellipse(centre: tuple, half_axes: tuple) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return ((x - centre[0]) / half_axes[0]) ** 2 + ((y - centre[1]) / half_axes[1]) ** 2 <= 1


def rectangle(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def rasterise(annotation: dict) -> np.ndarray:
    rles = mask_utils.frPyObjects(annotation['segmentation'], HEIGHT, WIDTH)
    return mask_utils.decode(mask_utils.merge(rles)).astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.fixture
def data(tmp_path: Path) -> SimpleNamespace:
    """One image with a hot ellipse and a cold rectangle on noise, a box for each, and an ignored region (RLE)."""
    noise = np.random.default_rng(0).normal(100, 2, (HEIGHT, WIDTH))
    picture = noise + 80 * ellipse(*HOT) - 60 * rectangle(*COLD)
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images' / 'a.png'), picture.round().astype(np.uint8))
    coco = {
        'info': {'description': 'two shapes'},
        'images': [{'id': 5, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT}],
        'categories': [{'id': 3, 'name': 'human'}, {'id': 7, 'name': 'car'}],
        'annotations': [
            {'id': 11, 'image_id': 5, 'category_id': 3, 'bbox': [17, 18, 14, 24], 'iscrowd': 0, 'track': 4},
            {'id': 12, 'image_id': 5, 'category_id': 7, 'bbox': [58, 18, 24, 14], 'iscrowd': 0},
            {'id': 13, 'image_id': 5, 'category_id': 7, 'bbox': [0, 50, 90, 14], 'iscrowd': 1, 'segmentation': REGION},
        ],
    }
    return SimpleNamespace(
        coco=coco, path=tmp_path / 'boxes.json', images=tmp_path / 'images', out=tmp_path / 'out' / 'masks.json'
    )


def run(data: SimpleNamespace, *args, **kwargs) -> tuple:
    data.path.write_text(json.dumps(data.coco))
    counts = derive_masks(data.path, data.images, data.out, *args, **kwargs)
    return json.loads(data.out.read_text()), counts


def test_threshold_finds_the_shapes_and_marks_them(data) -> None:
    coco, counts = run(data)
    hot, cold, ignored = coco['annotations']
    assert iou(rasterise(hot), ellipse(*HOT)) > 0.95
    assert iou(rasterise(cold), rectangle(*COLD)) > 0.95
    for derived, source in zip((hot, cold), data.coco['annotations'], strict=False):
        assert derived['mask_source'] == 'derived' and derived['mask_method'] == 'threshold'
        assert derived['area'] == rasterise(derived).sum()
        assert source.items() <= derived.items()
    assert ignored == data.coco['annotations'][2]
    assert coco['images'] == data.coco['images'] and 'derived' in coco['info']['masks']
    assert counts.methods == {('human', 'threshold'): 1, ('car', 'threshold'): 1}
    assert counts.ignored == {'car': 1} and not counts.kept and not counts.fallbacks
    assert json.loads(data.path.read_text()) == data.coco
    assert [p.name for p in data.out.parent.iterdir()] == ['masks.json']


def test_ellipse_and_box_have_their_areas(data) -> None:
    inscribed = run(data, 'ellipse')[0]['annotations'][0]
    assert inscribed['mask_method'] == 'ellipse'
    assert iou(rasterise(inscribed), ellipse(*HOT)) > 0.93  # the box is the ellipse's
    box = run(data, 'box', overwrite=True)[0]['annotations'][1]
    assert box['mask_method'] == 'box' and box['area'] == 24 * 14
    np.testing.assert_array_equal(rasterise(box), rectangle(58, 18, 24, 14))


@pytest.mark.parametrize('name', ['uav', 'UAV', 'drone', 'Drone'])
def test_boxes_of_drones_are_loose_by_any_of_their_names(data, name: str) -> None:
    """A warm target of 4x8 pixels in a box of 24x24, which an ellipse over the box would enlarge 14 times."""
    picture = np.full((HEIGHT, WIDTH), 100, np.uint8)
    picture[28:36, 30:34] = 180
    cv2.imwrite(str(data.images / 'a.png'), picture)
    data.coco['categories'][0]['name'] = name
    data.coco['annotations'] = [{'id': 1, 'image_id': 5, 'category_id': 3, 'bbox': [20, 20, 24, 24]}]
    (derived,) = run(data)[0]['annotations']
    assert (derived['mask_method'], derived['area']) == ('threshold', 32)


def test_boxes_beyond_the_image_and_without_contrast(data) -> None:
    """A box is cut to its image, though it stays as it is; a mask without contrast is an ellipse, then a pixel."""
    cv2.imwrite(str(data.images / 'a.png'), np.full((HEIGHT, WIDTH), 90, np.uint8))
    data.coco['annotations'] = [
        {'id': 1, 'image_id': 5, 'category_id': 3, 'bbox': [80, -6, 40, 26]},
        {'id': 2, 'image_id': 5, 'category_id': 3, 'bbox': [40.6, 30.7, 0.3, 0.2]},
    ]
    coco, counts = run(data)
    cut, tiny = coco['annotations']
    assert cut['mask_method'] == 'ellipse' and cut['bbox'] == [80, -6, 40, 26]
    assert iou(rasterise(cut), ellipse((88, 10), (8, 10))) > 0.9
    assert tiny['mask_method'] == 'box' and tiny['area'] == 1 and rasterise(tiny)[30, 40]
    assert counts.methods == {('human', 'ellipse'): 1, ('human', 'box'): 1}


def test_only_exact_masks_are_kept(data) -> None:
    exact = [[17.0, 18.0, 31.0, 18.0, 31.0, 42.0]]
    for entry, source in zip(data.coco['annotations'], ('annotated', 'derived', 'annotated'), strict=True):
        entry.update(segmentation=exact, area=168, mask_source=source)
    coco, counts = run(data, 'box')
    assert [a['segmentation'] == exact for a in coco['annotations']] == [True, False, True]
    assert counts.kept == {'human': 1} and counts.methods == {('car', 'box'): 1}
    del data.coco['annotations'][0]['mask_source']  # not marked: taken as exact
    assert run(data, 'box', overwrite=True)[1].kept == {'human': 1}
    coco, counts = run(data, 'box', replace=True, overwrite=True)
    assert coco['annotations'][0]['area'] == 14 * 24 and not counts.kept
    assert coco['annotations'][2] == data.coco['annotations'][2]


@pytest.mark.parametrize(
    'nothing',
    [
        None,
        [],
        [[]],
        [[], []],
        [[20, 20, 25, 25]],
        [[20, 20, 22, 22, 24, 24]],
        {'size': [HEIGHT, WIDTH], 'counts': [HEIGHT * WIDTH]},
    ],
)
def test_masks_that_show_nothing_are_no_masks(data, nothing) -> None:
    data.coco['annotations'][0]['segmentation'] = nothing
    data.coco['annotations'][1]['segmentation'] = [[58, 18, 82, 18, 82, 32]]
    coco, counts = run(data)
    assert iou(rasterise(coco['annotations'][0]), ellipse(*HOT)) > 0.95
    assert coco['annotations'][1]['segmentation'] == [[58, 18, 82, 18, 82, 32]]
    assert counts.methods == {('human', 'threshold'): 1} and counts.kept == {'car': 1}


@pytest.mark.parametrize('method', ['threshold', 'ellipse', 'box'])
@pytest.mark.parametrize('nothing', [None, [], [[]]])
def test_ignored_regions_without_a_mask_get_their_box(data, method: str, nothing) -> None:
    """A region alone in its image, too; a data set with masks takes what was written."""
    data.coco['annotations'][2]['segmentation'] = nothing
    data.coco['images'].append({'id': 6, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT, 'page': 0})
    cv2.imwritemulti(str(data.images / 'b.tif'), [np.full((HEIGHT, WIDTH), 90, np.uint8)])
    data.coco['images'][1]['file_name'] = 'b.tif'
    more = {'id': 14, 'image_id': 6, 'category_id': 7, 'bbox': [80, 50, 40, 9], 'iscrowd': 1, 'segmentation': nothing}
    data.coco['annotations'].append(more)
    coco, counts = run(data, method, replace=True)
    for entry, area in zip(coco['annotations'][2:], (rectangle(0, 50, 90, 14), rectangle(80, 50, 16, 9)), strict=True):
        np.testing.assert_array_equal(rasterise(entry), area)
        assert (entry['area'], entry['iscrowd'], entry['mask_method']) == (area.sum(), 1, 'box')
    assert not counts.ignored and counts.methods['car', 'box'] == 2 + (method == 'box')
    needs = Needs(masks=True)
    assert not [p for p in check_for_training(coco, needs) if p.code.startswith('mask')]
    before = [p for p in check_for_training(data.coco, needs) if p.code.startswith(('mask', 'polygon'))]
    assert sorted(entry for p in before for entry in p.entries) == [11, 12, 13, 14]


@pytest.mark.parametrize('info', [None, 'two shapes'])
def test_info_that_is_no_object(data, info) -> None:
    data.coco['info'] = info
    written = run(data)[0]['info']
    assert written.pop('masks').startswith('some or all derived')
    assert written == ({} if info is None else {'description': info})


def test_counts_are_printed_by_class_and_method(data) -> None:
    data.coco['annotations'].append({'id': 14, 'image_id': 5, 'category_id': 7, 'bbox': [40, 2, 0.4, 0.4]})
    lines = str(run(data)[1]).splitlines()
    assert lines[0].split() == ['class', 'box', 'threshold', 'ignored', 'region']
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows == {'human': ['0', '1', '0'], 'car': ['1', '1', '1'], 'all': ['1', '2', '1']}


@pytest.mark.parametrize('box', [[2, 3, 4, 5], [2.4, 3.6, 4.2, 5.0], [90.2, 60.1, 5.8, 3.9], [7.6, 8.6, 0.3, 0.3]])
def test_pixels_in_box(box) -> None:
    x, y, w, h = box
    expected = [
        (j, i) for j in range(HEIGHT) for i in range(WIDTH) if x <= i + 0.5 < x + w and y <= j + 0.5 < y + h
    ] or [(8, 7)]
    assert list(zip(*np.nonzero(pixels_in_box(box, (HEIGHT, WIDTH))), strict=True)) == expected


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (lambda c: c['images'][0].update(file_name='b.png'), FileNotFoundError, '1 of 1 images not found, .*b.png'),
        (
            lambda c: c['images'][0].update(width=95),
            ValueError,
            r'a.png: image 5: expected .*\(64, 95\) .*, got \(64, 96\)',
        ),
        (lambda c: c['images'][0].pop('height'), ValueError, '(?s)boxes.json.* id 5 .*lacks height'),
        (lambda c: c['annotations'][1].update(bbox=[96, 3, 5, 5]), ValueError, 'outside.*12'),
        (lambda c: c['annotations'][0].update(bbox=[9, 9, 0, 5]), ValueError, '(?s)boxes.json.*11'),
    ],
)
def test_unsound_input_is_named(data, change, error, message) -> None:
    change(data.coco)
    with pytest.raises(error, match=message):
        run(data)
    assert not data.out.exists()


def test_arguments_that_do_not_go_together(data) -> None:
    with pytest.raises(ValueError, match='method: expected one of .* got .grabcut.'):
        run(data, 'grabcut')
    with pytest.raises(ValueError, match='config and a checkpoint'):
        run(data, 'model')
    with pytest.raises(ValueError, match='config and a checkpoint'):
        run(data, 'box', ('config.py', 'checkpoint.pth'))
    with pytest.raises(FileNotFoundError, match='missing.py'):
        run(data, 'model', ('missing.py', 'checkpoint.pth'))
    with pytest.raises(ValueError, match='min_iou'):
        run(data, min_iou=0)
    with pytest.raises(ValueError, match='lack the field "counts_file"; image ids: 5'):
        run(data, image_key='counts_file')
    run(data, 'box')
    with pytest.raises(ValueError, match='masks.json exists.*--overwrite'):
        run(data, 'box')
    with pytest.raises(ValueError, match='is the input'):
        derive_masks(data.path, data.images, data.path, overwrite=True)


# Models --------------------------------------------------------------------------------------------------------------


class Told:
    """A model that says what it is told: for each box of a label, a mask and the IoU of its box."""

    classes = ('uav', 'car', 'human')

    def __init__(self, masks: dict, ious: dict) -> None:
        self.masks, self.ious, self.asked = masks, ious, []

    def __call__(self, image: dict, boxes: np.ndarray, labels: np.ndarray) -> tuple:
        self.asked.append((image, boxes.tolist()))
        names = [self.classes[label] for label in labels]
        return np.array([self.masks[n] for n in names]), np.array([self.ious[n] for n in names])


@pytest.mark.parametrize(
    ('ious', 'car_mask', 'reason'),
    [
        ({'human': 0.9, 'car': 0.4}, rectangle(60, 20, 5, 5), 'without a prediction of IoU >= 0.5'),
        ({'human': 0.5, 'car': 0.9}, rectangle(2, 2, 30, 10), 'with an empty mask'),
    ],
)
def test_a_models_mask_is_cut_to_the_box_or_replaced(data, monkeypatch, ious, car_mask, reason) -> None:
    blob = ellipse((28, 40), (12, 9))  # beyond the box of the human
    told = Told({'human': blob, 'car': car_mask}, ious)
    monkeypatch.setattr('mmdet_ir.apis.derive_masks.MasksInBoxes', lambda *_, **__: told)
    coco, counts = run(data, 'model', ('config.py', 'checkpoint.pth'))
    human, car, _ = coco['annotations']
    np.testing.assert_array_equal(rasterise(human), blob & rectangle(17, 18, 14, 24))
    assert human['mask_method'] == 'model' and human['area'] == rasterise(human).sum()
    assert car['mask_method'] == 'threshold' and iou(rasterise(car), rectangle(*COLD)) > 0.95
    assert counts.methods == {('human', 'model'): 1, ('car', 'threshold'): 1} and counts.fallbacks == {reason: 1}
    ((image, boxes),) = told.asked
    assert boxes == [[17, 18, 31, 42], [58, 18, 82, 32]] and image['img_path'] == str(data.images / 'a.png')
    assert f'not from the model: 1 {reason}' in str(counts)


def test_classes_that_the_model_lacks_are_named(data, monkeypatch) -> None:
    data.coco['categories'][1]['name'] = 'boat'
    monkeypatch.setattr('mmdet_ir.apis.derive_masks.MasksInBoxes', lambda *_, **__: Told({}, {}))
    with pytest.raises(ValueError, match='config.py does not have, which has uav, car, human: boat'):
        run(data, 'model', ('config.py', 'checkpoint.pth'))


@pytest.mark.parametrize('boxless', [False, True])
def test_detections_are_matched_by_class_and_iou(boxless) -> None:
    """Of three detections the best of the box's own class counts; masks stand in for the boxes of SOLOv2 and such."""
    masks = [rectangle(10, 10, 20, 20), rectangle(12, 10, 20, 20), rectangle(11, 10, 20, 20)]
    boxes = [[10, 10, 30, 30], [12, 10, 32, 30], [11, 10, 31, 30]]
    found = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32) * (not boxless),
        labels=torch.tensor([1, 0, 0]),
        masks=torch.from_numpy(np.array(masks)),
    )
    predictor = object.__new__(MasksInBoxes)
    predictor.name = 'model'
    predictor.model = SimpleNamespace(predict=lambda *_, **__: [SimpleNamespace(pred_instances=found)])
    sample = SimpleNamespace(ori_shape=(HEIGHT, WIDTH))
    wanted = torch.tensor([[10.0, 10, 30, 30], [10, 10, 30, 30], [60, 40, 80, 60]])
    result, ious = predictor._from_detections(None, sample, wanted, torch.tensor([0, 1, 0]))
    assert ious.tolist() == pytest.approx([19 / 21, 1, 0])  # 11..31 and 10..30 share 19 of 21 columns
    np.testing.assert_array_equal(result, [masks[2], masks[0], np.zeros_like(masks[0])])


BOXINST = """
_base_ = 'REPO/configs/_base_/models/boxinst_small.py'
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=32, start_level=1, num_outs=3),
    bbox_head=dict(num_classes=2, in_channels=32, feat_channels=32, strides=[8, 16, 32],
                   regress_ranges=((-1, 32), (32, 64), (64, 1e8))),
    mask_head=dict(mask_feature_head=dict(
        in_channels=32, feat_channels=8, mask_stride=8, num_stacked_convs=1), mask_out_stride=4),
    test_cfg=dict(nms_pre=-1, min_bbox_size=-1, score_thr=-1.0, nms=dict(iou_threshold=2.0), max_per_img=-1))
"""
DATA = """
pipeline = [
    dict(type='LoadIRImageFromFile'), dict(type='Resize', scale_factor=1.5, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
test_dataloader = dict(dataset=dict(
    type='IRDataset', metainfo=dict(classes=('human', 'car')), pipeline=pipeline, test_mode=True))
"""


def write_model(folder: Path, config: str, varied: tuple[str, ...]) -> tuple[str, str]:
    """Config and checkpoint of random weights, those of the layers ``varied`` so large that their output varies."""
    (folder / 'tiny.py').write_text((config + DATA).replace('REPO', str(REPO)))
    init_default_scope('mmdet')
    torch.manual_seed(4)
    model = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    with torch.no_grad():
        for name in varied:
            model.get_submodule(name).weight.normal_(0, 0.2)
        model.bbox_head.conv_reg.bias.fill_(1.5)
    meta = {'dataset_meta': {'classes': ('human', 'car')}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, folder / 'tiny.pth')
    return str(folder / 'tiny.py'), str(folder / 'tiny.pth')


@pytest.fixture(scope='module')
def boxinst(tmp_path_factory) -> tuple[str, str]:
    return write_model(tmp_path_factory.mktemp('boxinst'), BOXINST, ('bbox_head.conv_reg', 'bbox_head.controller'))


def overlaps(box: list[float], others: list[list[float]]) -> list[float]:
    """IoU of xyxy boxes."""
    out = []
    for x1, y1, x2, y2 in others:
        shared = max(min(x2, box[2]) - max(x1, box[0]), 0) * max(min(y2, box[3]) - max(y1, box[1]), 0)
        out.append(shared / ((x2 - x1) * (y2 - y1) + (box[2] - box[0]) * (box[3] - box[1]) - shared))
    return out


def test_boxinst_gives_the_mask_of_the_location_near_the_centre_whose_box_fits_best(data, boxinst) -> None:
    """Among MMDetection's own results for every location those within 1.5 strides of the centre, as in training."""
    predictor = MasksInBoxes(*boxinst, device='cpu')
    path = str(data.images / 'a.png')
    boxes = np.array([[17, 18, 31, 42], [58, 18, 82, 32], [0, 0, 90, 60]], float)
    masks, ious = predictor({'img_path': path, 'img_id': 5}, boxes, np.array([0, 1, 0]))
    everything = inference_detector(predictor.model, path).pred_instances
    assert len(everything) > 600  # 315 locations of the padded 96x160 pixels, for each of two classes
    assert masks.shape == (3, HEIGHT, WIDTH) and sum(0.01 < mask.mean() < 0.99 for mask in masks) >= 2
    for box, mask, value in zip(boxes, masks, ious, strict=True):
        x, y = 1.5 * (box[0] + box[2]) / 2, 1.5 * (box[1] + box[3]) / 2  # of the image enlarged by 1.5
        near = [
            abs(px - x) <= 1.5 * stride and abs(py - y) <= 1.5 * stride
            for (px, py), stride in zip(everything.points.tolist(), everything.strides.tolist(), strict=True)
        ]
        expected = np.where(near, overlaps(box, everything.bboxes.tolist()), -1)
        assert value == pytest.approx(max(expected), abs=1e-4)
        best = np.flatnonzero(expected > max(expected) - 1e-5)  # several where boxes are cut to the image
        assert any(np.array_equal(mask, everything.masks[int(i)].numpy()) for i in best)


BLENDMASK = """
_base_ = 'REPO/configs/_base_/models/blendmask_small.py'
model = dict(
    bbox_head=dict(num_classes=2),
    mask_head=dict(basis_module=dict(num_classes=2)),
    test_cfg=dict(score_thr=0.0, max_per_img=40),
)
"""


def test_blendmask_gives_the_mask_of_the_nearest_detection_of_the_class(data, tmp_path) -> None:
    """BlendMask's heads derive from CondInst's, but its masks are those of detections."""
    predictor = MasksInBoxes(*write_model(tmp_path, BLENDMASK, ('bbox_head.conv_reg',)), device='cpu')
    path = str(data.images / 'a.png')
    found = inference_detector(predictor.model, path).pred_instances
    labels = np.array([0, 1, 0])
    boxes = np.array([[17, 18, 31, 42], [58, 18, 82, 32], [0, 0, 90, 60]], float)
    masks, ious = predictor({'img_path': path, 'img_id': 5}, boxes, labels)
    assert {0, 1} <= set(found.labels.tolist()) and sum(ious > 0.05) >= 2 and masks.any()
    for box, label, mask, value in zip(boxes, labels, masks, ious, strict=True):
        expected = overlaps(box, found.bboxes.tolist()) * (found.labels.numpy() == label)
        assert value == pytest.approx(max(expected), abs=1e-4)
        chosen = found.masks[int(np.argmax(expected))].numpy() if value else np.zeros((HEIGHT, WIDTH), bool)
        np.testing.assert_array_equal(mask, chosen)


def test_a_checkpoint_of_another_model_is_refused(boxinst, tmp_path) -> None:
    """MMDetection would leave the rest at random and go on."""
    config, checkpoint = boxinst
    content = torch.load(checkpoint)
    content['state_dict']['mask_head.mask_feature_head.conv_pred.bias'] = torch.zeros(9)
    del content['state_dict']['bbox_head.controller.bias']
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth does not fit .*tiny.py: 2 parameters .*bbox_head.controller.bias'):
        MasksInBoxes(config, str(tmp_path / 'other.pth'), device='cpu')


def test_many_boxes_are_taken_in_parts(data, boxinst, monkeypatch) -> None:
    predictor = MasksInBoxes(*boxinst, device='cpu')
    corners = np.random.default_rng(1).uniform(0, 40, (7, 2))
    request = ({'img_path': str(data.images / 'a.png'), 'img_id': 5}, np.hstack([corners, corners + 20]), np.zeros(7))
    at_once = predictor(*request)
    monkeypatch.setattr('mmdet_ir.apis.masks_in_boxes.MASKS_AT_ONCE', 3)
    for whole, parts in zip(at_once, predictor(*request), strict=True):
        np.testing.assert_array_equal(whole, parts)


def test_the_tool_with_a_boxinst_of_random_weights(data, boxinst, monkeypatch, capsys) -> None:
    """Every mask lies in its box and is marked; where the model's box is off, a threshold is counted instead."""
    grid = [(x, y) for y in (2, 22, 42) for x in (2, 26, 50, 74)]
    data.coco['annotations'] = [
        {'id': i, 'image_id': 5, 'category_id': (3, 7)[i % 2], 'bbox': [x, y, 20 - i, 18], 'iscrowd': 0}
        for i, (x, y) in enumerate(grid)
    ]
    data.path.write_text(json.dumps(data.coco))
    arguments = [data.path, '--images', data.images, '--out', data.out, '--model', *boxinst, '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', ['derive_masks.py', *map(str, arguments), '--min-iou', '0.55'])
    runpy.run_path(str(REPO / 'tools' / 'data' / 'derive_masks.py'), run_name='__main__')
    entries = json.loads(data.out.read_text())['annotations']
    for entry in entries:
        x, y, w, h = entry['bbox']
        mask = rasterise(entry)
        assert mask.any() and not (mask & ~rectangle(x, y, w, h)).any() and entry['mask_source'] == 'derived'
    by_model = sum(entry['mask_method'] == 'model' for entry in entries)
    assert 0 < by_model < len(entries)
    printed = capsys.readouterr().out.splitlines()
    reasons = [line.split() for line in printed if line.startswith('not from the model:')]
    assert sum(int(words[4]) for words in reasons) == len(entries) - by_model
    header, total = (next(line.split() for line in printed if line.startswith(start)) for start in ('class', 'all'))
    assert total[header.index('model')] == str(by_model)
