"""Ids as tools write them score like plain ones: text, negative, beyond 32 and 64 bits, and a mixture of them."""

import json

from mmdet_ir.datasets.coco_files import check_coco
from mmdet_ir.datasets.coco_split import split_coco
from mmdet_ir.evaluation.detections import read_detections
from mmdet_ir.evaluation.errors.error_breakdown import break_down
from mmdet_ir.evaluation.errors.precision_recall import precision_recall
from mmdet_ir.evaluation.ir_coco_metric import IRCocoMetric
from mmdet_ir.evaluation.measures import MeasureSettings, measure

import numpy as np
import pytest
import torch
from mask_scenes import random_scenes
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

# All of them keep the order of the ids: where scores are equal, COCO's evaluation goes by it.
KINDS = {
    'text': lambda i: f'id {i:05d}',
    'unicode': lambda i: f'Bild/{i:05d} 热像.png',
    'negative': lambda i: i - 20_000,
    'beyond 32 bits': lambda i: i + (1 << 40),
    'beyond 64 bits': lambda i: i + (1 << 70),
    'mixed': lambda i: i if i < 40 else f'{i:05d}',
}


def with_ids(kind: str) -> tuple[tuple[dict, list], tuple[dict, list]]:
    """A case with plain ids, and the same with others."""
    coco, detections = random_scenes(3)
    other, found = json.loads(json.dumps([coco, detections]))
    new = KINDS[kind]
    for entry in (*other['images'], *other['categories']):
        entry['id'] = new(entry['id'])
    for entry in (*other['annotations'], *found):
        entry['image_id'], entry['category_id'] = new(entry['image_id']), new(entry['category_id'])
    for entry in other['annotations']:
        entry['id'] = new(entry['id'])
    return (coco, detections), (other, found)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('backend', ['pycocotools', 'faster-coco-eval'])
def test_measures_are_the_same(kind, backend, tmp_path):
    plain, (coco, detections) = with_ids(kind)
    check_coco(coco, 'a file', masks=True)
    (tmp_path / 'found.segm.json').write_text(json.dumps(detections))
    settings = MeasureSettings(backend=backend)
    expected, got = (measure(*case, settings=settings) for case in (plain, (coco, tmp_path / 'found.segm.json')))
    assert got == expected and 0.05 < got['masks']['all']['mAP'] < 0.95


@pytest.mark.parametrize('kind', KINDS)
def test_errors_and_curves_are_the_same(kind, tmp_path):
    plain, (coco, detections) = with_ids(kind)
    (tmp_path / 'found.segm.json').write_text(json.dumps(detections))
    detections = read_detections(tmp_path / 'found.segm.json', coco)
    expected, got = break_down(*plain), break_down(coco, detections)
    assert got.as_json() == expected.as_json()
    for level, rows in precision_recall(*plain).precision.items():
        for row, curve in precision_recall(coco, detections).precision[level].items():
            np.testing.assert_array_equal(curve, rows[row])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('backend', ['pycocotools', 'faster-coco-eval'])
def test_the_metric_of_a_training_is_the_same(kind, backend, tmp_path):
    scores = []
    for coco, detections in with_ids(kind):
        path = tmp_path / f'{len(scores)}.json'
        path.write_text(json.dumps(coco))
        labels = {category['id']: k for k, category in enumerate(coco['categories'])}
        metric = IRCocoMetric(str(path), backend=backend, out_json=str(tmp_path / 'metrics.json'))
        metric.dataset_meta = {'classes': tuple(category['name'] for category in coco['categories'])}
        for image in coco['images']:
            found = [d for d in detections if d['image_id'] == image['id']]
            boxes = torch.tensor([d['bbox'] for d in found], dtype=torch.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            masks = [mask_utils.decode(d['segmentation']) for d in found]
            instances = InstanceData(
                bboxes=boxes,
                labels=torch.tensor([labels[d['category_id']] for d in found], dtype=torch.long),
                scores=torch.tensor([d['score'] for d in found]),
                masks=torch.from_numpy(np.array(masks, bool).reshape(-1, image['height'], image['width'])),
            )
            shape = (image['height'], image['width'])
            metric.process({}, [{'img_id': image['id'], 'ori_shape': shape, 'pred_instances': instances}])
        # (The names of the classes hold the plain ids in both cases.)
        scores.append(metric.evaluate(len(coco['images'])))
    assert str(scores[0]) == str(scores[1]) and 0.05 < scores[0]['coco/segm_mAP'] < 0.95


@pytest.mark.parametrize('kind', KINDS)
def test_the_split_is_the_same(kind):
    (plain, _), (coco, _) = with_ids(kind)
    for expected, got in zip(split_coco(plain, 0.5, 0), split_coco(coco, 0.5, 0), strict=True):
        assert [image['file_name'] for image in got['images']] == [image['file_name'] for image in expected['images']]
        assert len(got['annotations']) == len(expected['annotations'])
