import json

from mmdet_ir.analysis.errors import report
from mmdet_ir.analysis.errors.report import write_error_report

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils


def rle(x, y, w, h):
    mask = np.zeros((60, 80), np.uint8, order='F')
    mask[y : y + h, x : x + w] = 1
    encoded = mask_utils.encode(mask)
    return {**encoded, 'counts': encoded['counts'].decode()}


@pytest.fixture
def files(tmp_path):
    """Two drones, one found with a mask of IoU 0.6 behind a false alarm of a higher score; no target of class car."""
    targets = [
        {
            'id': i,
            'image_id': 1,
            'category_id': 2,
            'iscrowd': 0,
            'bbox': [x, 5, 20, 10],
            'area': 200,
            'segmentation': rle(x, 5, 20, 10),
        }
        for i, x in ((1, 5), (2, 40))
    ]
    coco = {
        'images': [{'id': 1, 'file_name': '1.png', 'width': 80, 'height': 60}],
        'annotations': targets,
        'categories': [{'id': 1, 'name': 'car'}, {'id': 2, 'name': 'uav'}],
    }
    found = [
        {'image_id': 1, 'category_id': 2, 'score': 0.8, 'segmentation': rle(5, 5, 12, 10)},
        {'image_id': 1, 'category_id': 2, 'score': 0.9, 'segmentation': rle(40, 40, 10, 10)},
    ]
    (tmp_path / 'ann.json').write_text(json.dumps(coco))
    (tmp_path / 'model.segm.json').write_text(json.dumps(found))
    return tmp_path / 'ann.json', tmp_path / 'model.segm.json'


def test_numbers_of_the_report_by_hand(files, tmp_path):
    ann, found = files
    out = tmp_path / 'out'
    names = ['precision_recall.png', 'errors.png', 'errors.md', 'errors.json']
    assert write_error_report(ann, {'M': found}, out) == [out / name for name in names]
    assert sorted(file.name for file in out.iterdir()) == sorted(names)
    model = json.loads((out / 'errors.json').read_text())['models']['M']
    # precision 1/2 up to recall 1/2, levels 0.00 to 0.50; the mask counts at 0.50, 0.55 and 0.60 only
    half = [0.5] * 51 + [0] * 50
    assert model['precision']['50']['uav'] == pytest.approx(half)
    assert model['precision']['50']['all'] == pytest.approx(half)  # the class without targets does not count
    assert max(model['precision']['75']['uav']) == 0
    assert model['precision']['50-95']['uav'] == pytest.approx([0.3 * p for p in half])
    assert model['precision']['50']['car'] is None and model['AP']['car'] is None
    assert {kind: count['uav'] for kind, count in model['counts'].items() if count['uav']} == {'Bkg': 1, 'Miss': 1}
    assert model['dAP']['Bkg']['all'] == pytest.approx(51 / 202)
    assert model['dAP']['Miss']['all'] == pytest.approx(0.5 - 51 / 202)
    text = (out / 'errors.md').read_text()
    assert '| M | AP50 | 25.25 | - | 25.25 |' in text and '| M | AP75 | 0.00 | - | 0.00 |' in text
    assert (
        '| M | uav | 2 | 0.00 (0) | 0.00 (0) | 0.00 (0) | 0.00 (0) | 25.25 (1) | 24.75 (1) | 25.25 | 24.75 |' in text
    )
    for name in names[:2]:
        assert cv2.imread(str(out / name)).std() > 5


def test_annotations_that_cannot_be_judged_are_named(files, tmp_path):
    ann, found = files
    coco = json.loads(ann.read_text())
    del coco['annotations'][1]['segmentation']
    ann.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match=r'ann\.json: 1 annotations have no mask or no area; annotation ids: 2'):
        write_error_report(ann, {'M': found}, tmp_path / 'out')
    ann.write_text(json.dumps({**coco, 'annotations': []}))
    with pytest.raises(ValueError, match=r'ann\.json: expected targets to find, got none'):
        write_error_report(ann, {'M': found}, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_more_detections_than_count_are_told(tmp_path, monkeypatch):
    """120 targets of one image, all found: 100 of them count."""
    boxes = [(8 * (i % 10), 5 * (i // 10), 4, 4) for i in range(120)]
    masks = [rle(*box) for box in boxes]
    targets = [
        {'id': i + 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'bbox': box, 'area': 16, 'segmentation': mask}
        for i, (box, mask) in enumerate(zip(boxes, masks, strict=True))
    ]
    coco = {
        'images': [{'id': 1, 'file_name': '1.png', 'width': 80, 'height': 60}],
        'annotations': targets,
        'categories': [{'id': 1, 'name': 'car'}],
    }
    found = [{'image_id': 1, 'category_id': 1, 'score': 1 - i / 999, 'segmentation': m} for i, m in enumerate(masks)]
    (tmp_path / 'ann.json').write_text(json.dumps(coco))
    (tmp_path / 'found.json').write_text(json.dumps(found))

    said = []
    monkeypatch.setattr(report, 'print_log', lambda text, **to: said.append(text))

    def misses(**options):
        write_error_report(tmp_path / 'ann.json', {'M': tmp_path / 'found.json'}, tmp_path / 'out', **options)
        model = json.loads((tmp_path / 'out' / 'errors.json').read_text())['models']['M']
        return model['counts']['Miss']['all'], max(i for i, p in enumerate(model['precision']['50']['car']) if p)

    assert misses() == (20, 83) and 'M: only the best 100 detections of each class count' in said.pop()
    assert misses(max_dets=200) == (0, 100) and not said
    with pytest.raises(ValueError, match='max_dets: expected a whole number from 11 on, got 5'):
        misses(max_dets=5)
