import json
import logging

from mmdet_ir.datasets import IRDataset
from mmdet_ir.datasets.coco_files import class_categories

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

SQUARE = [[10, 10, 30, 10, 30, 40, 10, 40]]
RLE = {'size': [48, 64], 'counts': [490, 5, 2577]}
FIRST = {
    'id': 11,
    'image_id': 1,
    'category_id': 2,
    'bbox': [10, 10, 20, 30],
    'area': 600,
    'iscrowd': 0,
    'segmentation': SQUARE,
}


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture
def root(tmp_path):
    """Two grey images, the second without targets."""
    (tmp_path / 'images').mkdir()
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / 'images' / f'{i}.png'), np.full((48, 64), 50 * i, np.uint8))
    return tmp_path


def write(root, annotations=(FIRST,), **changes) -> None:
    coco = {
        'images': [{'id': i, 'file_name': f'{i}.png', 'width': 64, 'height': 48} for i in (1, 2)],
        'annotations': list(annotations),
        'categories': class_categories(),
    }
    (root / 'train.json').write_text(json.dumps(coco | changes))


def build(root, poly2mask=True, with_mask=True, **options) -> IRDataset:
    annotations = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': with_mask, 'poly2mask': poly2mask}
    config = {
        'type': 'IRDataset',
        'data_root': str(root),
        'ann_file': 'train.json',
        'data_prefix': {'img': 'images/'},
        'pipeline': [
            {'type': 'LoadIRImageFromFile'},
            annotations,
            {'type': 'RandomFlip', 'prob': 1.0},
            {'type': 'PackDetInputs'},
        ],
    }
    return DATASETS.build(config | options)


def test_grey_files_and_labels(root):
    write(root)
    item = build(root)[0]
    assert item['inputs'].shape == (3, 48, 64) and (item['inputs'] == 50).all()
    instances = item['data_samples'].gt_instances
    assert instances.labels.tolist() == [1]  # car
    assert instances.bboxes.tensor.tolist() == [[34, 10, 54, 40]]  # flipped in 64 columns
    assert instances.masks.masks.sum() == 600


def test_category_ids_may_differ_from_labels(root):
    """Labels follow the names, not the ids."""
    categories = [
        {'id': i, 'name': name} for i, name in zip((40, 7, 30, 2), IRDataset.METAINFO['classes'], strict=True)
    ]
    write(root, [FIRST | {'category_id': 30}], categories=categories)
    assert build(root)[0]['data_samples'].gt_instances.labels.tolist() == [2]


def test_own_classes(root):
    write(root, [FIRST | {'category_id': 5}], categories=[{'id': 5, 'name': 'ship'}])
    dataset = build(root, metainfo={'classes': ('ship',)})
    assert dataset[0]['data_samples'].gt_instances.labels.tolist() == [0]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'train.json is not valid JSON'),
        ('{"images": [{"id": 1, "file_name"', 'train.json is not valid JSON'),
        ('{"images": [], "annotations": [], "categories": []}', 'train.json: "images" is empty'),
        ('{"images": []}', 'train.json: expected a list "annotations"'),
    ],
)
def test_unsound_annotation_file(root, content, message):
    (root / 'train.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        build(root)


def test_missing_annotation_file(root):
    with pytest.raises(FileNotFoundError, match='annotation file not found: .*train.json'):
        build(root)


def renamed(**names) -> list[dict]:
    return [c | {'name': names.get(c['name'], c['name'])} for c in class_categories()]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'categories': renamed(human='person', uav='drone')},
            r"train.json: .* expected \['human', 'car', 'bicycle', 'uav'\], "
            r"got \['person', 'car', 'bicycle', 'drone'\]; missing: \['human', 'uav'\]",
        ),
        (
            {'categories': class_categories()[::-1]},
            r"expected \"categories\" in the order of the labels.*got \['uav', 'bicycle', 'car', 'human'\]",
        ),
        ({'annotations': [FIRST | {'bbox': [10, 10, 0, 30]}]}, 'train.json: 1 boxes .* > 0; annotation ids: 11'),
        ({'annotations': [FIRST | {'area': 0}]}, 'train.json: 1 annotations have an "area" of 0 or less; ids: 11'),
        ({'annotations': [FIRST | {'image_id': 9}]}, 'not in "images"; annotation ids: 11'),
        ({'annotations': [FIRST | {'category_id': 9}]}, 'not in "categories"; annotation ids: 11'),
        (
            {'annotations': [{k: v for k, v in FIRST.items() if k != 'area'}]},
            'train.json: 1 annotations lack "area" or "iscrowd", which evaluation needs; ids: 11',
        ),
        (
            {'annotations': [{k: v for k, v in FIRST.items() if k != 'segmentation'}]},
            'train.json: 1 annotations have no "segmentation", but the pipeline loads masks; ids: 11',
        ),
        (
            {'annotations': [FIRST | {'segmentation': [[1, 2, 3, 4]]}]},
            'train.json: 1 annotations have a polygon that is not a list of 3 or more x, y pairs; ids: 11',
        ),
        (
            {'annotations': [FIRST | {'segmentation': {'size': [48, 64]}}]},
            'RLE mask without "counts" or "size"; ids: 11',
        ),
    ],
)
def test_unsound_entries(root, changes, message):
    write(root, **changes)
    with pytest.raises(ValueError, match=message):
        build(root)


def test_boxes_alone_are_enough_for_a_detector(root):
    write(root, [{k: v for k, v in FIRST.items() if k != 'segmentation'}])
    assert build(root, with_mask=False)[0]['data_samples'].gt_instances.labels.tolist() == [1]


def test_rle_where_polygons_are_needed(root):
    write(root, [FIRST, FIRST | {'id': 12, 'segmentation': RLE}])
    assert build(root)[0]['data_samples'].gt_instances.masks.masks.sum(axis=(1, 2)).tolist() == [600, 5]
    with pytest.raises(ValueError, match=r'train.json: 1 annotations have RLE masks, .*poly2mask.*; ids: 12'):
        build(root, poly2mask=False)
    # Nested in a wrapper it is found as well.
    load = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True, 'poly2mask': False}
    with pytest.raises(ValueError, match='ids: 12'):
        build(root, pipeline=[{'type': 'RandomApply', 'transforms': [load], 'prob': 0.5}])


def test_rle_of_ignored_regions_is_fine(root):
    write(root, [FIRST, FIRST | {'id': 12, 'segmentation': RLE, 'iscrowd': 1}])
    item = build(root, poly2mask=False)[0]['data_samples']
    assert len(item.gt_instances) == 1 and len(item.ignored_instances) == 1


def test_missing_images(root):
    images = [{'id': i, 'file_name': f'{i}.png', 'width': 64, 'height': 48} for i in (1, 2, 3, 4)]
    write(root, images=images)
    with pytest.raises(FileNotFoundError, match=r'train.json: 2 of 4 images not found.*images/3.png.*images/4.png'):
        build(root)
    with pytest.raises(FileNotFoundError, match='4 of 4 images not found.*looked for in .*/pictures'):
        build(root, data_prefix={'img': 'pictures'})


@pytest.mark.parametrize('content', [b'', b'\x89PNG\r\n', b'not an image'])
def test_unreadable_image_is_named(root, content):
    write(root)
    (root / 'images' / '1.png').write_bytes(content)
    with pytest.raises(ValueError, match=r'cannot read image .*images/1.png'):
        build(root)[0]


def test_image_that_vanishes_is_named(root):
    write(root)
    dataset = build(root)
    (root / 'images' / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'image not found: .*images/1.png'):
        dataset[0]


def test_image_of_another_size_is_named(root):
    write(root)
    cv2.imwrite(str(root / 'images' / '1.png'), np.zeros((64, 48), np.uint8))
    with pytest.raises(ValueError, match=r'images/1.png: expected height and width \(48, 64\) .* got \(64, 48\)'):
        build(root)[0]


def test_no_image_left(root):
    write(root, [])
    with pytest.raises(ValueError, match=r"train.json: none of its 2 images is left after .*'filter_empty_gt': True"):
        build(root, filter_cfg={'filter_empty_gt': True})
    assert len(build(root, filter_cfg={'filter_empty_gt': False})) == 2


def test_what_is_left_out_is_said(root, monkeypatch):
    """Other classes and boxes that MMDetection drops."""
    lines = []
    monkeypatch.setattr(logging.Logger, 'warning', lambda self, message: lines.append(message))
    extra = [*class_categories(), {'id': 9, 'name': 'dog'}]
    sliver = FIRST | {'id': 13, 'bbox': [5, 5, 0.5, 9]}
    outside = FIRST | {'id': 14, 'bbox': [70, 5, 5, 9]}
    write(root, [FIRST, FIRST | {'id': 12, 'category_id': 9}, sliver, outside], categories=extra)
    assert len(build(root)[0]['data_samples'].gt_instances) == 1
    assert [line.split('train.json: ')[1] for line in lines] == [
        "instances of other classes are left out: {'dog': 1}",
        '2 boxes outside their image or under 1 pixel are left out; annotation ids [13, 14]',
    ]


@pytest.mark.parametrize('poly2mask', [True, False])
def test_images_without_targets_train(root, poly2mask):
    """A Mask R-CNN gets finite losses and gradients from a batch without any target."""
    write(root, [])
    dataset = build(root, poly2mask=poly2mask, filter_cfg={'filter_empty_gt': False})
    assert len(dataset) == 2
    items = [dataset[i] for i in range(2)]
    assert all(len(item['data_samples'].gt_instances) == 0 for item in items)
    if not poly2mask:
        return
    config = Config.fromstring("_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'", '.py').model
    config.backbone.update(depth=18, init_cfg=None)
    config.neck.in_channels = [64, 128, 256, 512]
    model = MODELS.build(config)
    batch = {key: [item[key] for item in items] for key in items[0]}
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert torch.isfinite(total) and gradients and all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize('new', [lambda i: f'id {i}', lambda i: i - 9, lambda i: i + (1 << 70)])
def test_ids_of_any_kind(root, new):
    """Text, negative, beyond 64 bits: labels and images are those of plain ids."""
    images = [{'id': new(i), 'file_name': f'{i}.png', 'width': 64, 'height': 48} for i in (1, 2)]
    categories = [category | {'id': new(category['id'])} for category in class_categories()]
    write(
        root,
        [FIRST | {key: new(FIRST[key]) for key in ('id', 'image_id', 'category_id')}],
        images=images,
        categories=categories,
    )
    first, second = build(root)
    assert (first['data_samples'].img_id, second['data_samples'].img_id) == (new(1), new(2))
    assert first['data_samples'].gt_instances.labels.tolist() == [1]
    assert len(second['data_samples'].gt_instances) == 0
