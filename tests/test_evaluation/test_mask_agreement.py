"""Agreement of masks, on rectangles whose IoU is known."""

import json
import runpy
import sys
from pathlib import Path

from mmdet_ir.analysis.mask_crops import draw_mask_crops
from mmdet_ir.evaluation.mask_agreement import compare_masks

import cv2
import numpy as np
import pytest

REPO = Path(__file__).parents[2]
SIZE = {'height': 40, 'width': 60}


def polygon(x: int, y: int, w: int, h: int) -> list:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def uncompressed(x: int, y: int, w: int, h: int) -> dict:
    mask = np.zeros((40, 60), int)
    mask[y : y + h, x : x + w] = 1
    column_first = mask.T.ravel()
    changes = np.flatnonzero(np.diff(column_first)) + 1
    return {'size': [40, 60], 'counts': np.diff([0, *changes, column_first.size]).tolist()}


# exact mask, and IoU with it of the two others
OBJECTS = [
    (1, 'human', (10, 10, 10, 20), (10, 10, 10, 10), 0.5, (10, 10, 10, 20), 1.0),
    (2, 'human', (30, 10, 10, 20), (30, 10, 10, 16), 0.8, (35, 10, 10, 20), 1 / 3),
    (3, 'car', (2, 2, 30, 4), (2, 2, 30, 5), 0.8, (40, 30, 4, 4), 0.0),
]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Exact masks as uncompressed RLE and polygons, two files to compare, the image."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8))
    categories = [{'id': 1, 'name': 'human'}, {'id': 2, 'name': 'car'}]
    names = {'exact': (2, uncompressed), 'good': (3, polygon), 'bad': (5, polygon)}
    paths = {}
    for name, (column, encode) in names.items():
        annotations = [
            {
                'id': entry[0],
                'image_id': 9,
                'category_id': 1 + (entry[1] == 'car'),
                'bbox': list(entry[2]),
                'segmentation': encode(*entry[column]),
                'area': entry[column][2] * entry[column][3],
                'iscrowd': 0,
            }
            for entry in OBJECTS
        ]
        annotations.append({'id': 4, 'image_id': 9, 'category_id': 2, 'bbox': [0, 0, 5, 5], 'iscrowd': 1})
        images = [{'id': 9, 'file_name': 'a.png', **SIZE}]
        paths[name] = tmp_path / f'{name}.json'
        content = {'images': images, 'annotations': annotations[:: -1 if name == 'good' else 1]}
        paths[name].write_text(json.dumps({**content, 'categories': categories}))
    return paths


def change(path: Path, index: int, **fields) -> None:
    coco = json.loads(path.read_text())
    coco['annotations'][index].update(fields)
    path.write_text(json.dumps(coco))


def test_iou_by_class(files) -> None:
    agreement = compare_masks(files['exact'], {'good': files['good'], 'bad': files['bad']})
    assert agreement.annotations == [1, 2, 3] and agreement.labels == ['human', 'human', 'car']
    assert agreement.ious['good'].tolist() == pytest.approx([entry[4] for entry in OBJECTS])
    assert agreement.ious['bad'].tolist() == pytest.approx([entry[6] for entry in OBJECTS])
    summary = agreement.summary()
    assert summary['good']['human'] == pytest.approx(
        {'num': 2, 'mean': 0.65, 'median': 0.65, 'above_50': 0.5, 'above_75': 0.5}
    )
    assert summary['bad']['all'] == pytest.approx(
        {'num': 3, 'mean': 4 / 9, 'median': 1 / 3, 'above_50': 1 / 3, 'above_75': 1 / 3}
    )
    assert '| all | good | 3 | 0.700 | 0.800 | 66.7 % | 66.7 % |' in agreement.table().splitlines()


def test_what_cannot_be_compared_is_named(files) -> None:
    change(files['bad'], 1, segmentation=[])
    with pytest.raises(ValueError, match='bad.json: 1 objects of .*exact.json have no mask; annotation ids: 2'):
        compare_masks(files['exact'], {'bad': files['bad']})
    change(files['exact'], 2, mask_source='derived')
    with pytest.raises(ValueError, match='exact.json: 1 masks are missing or marked as derived.* 3'):
        compare_masks(files['exact'], {'good': files['good']})
    change(files['exact'], 2, mask_source='annotated', segmentation={'size': [60, 40], 'counts': [0, 2400]})
    with pytest.raises(
        ValueError, match='exact.json: 1 annotations have an RLE mask of another size than their image .*; ids: 3'
    ):
        compare_masks(files['exact'], {'good': files['good']})


def test_crops_have_both_outlines(files, tmp_path) -> None:
    """Of each class the objects from low to high IoU; red follows the other mask, green the exact one."""
    agreement = compare_masks(files['exact'], {'bad': files['bad']})
    out = tmp_path / 'crops.png'
    shown = draw_mask_crops(files['exact'], {'bad': files['bad']}, agreement, tmp_path, out, per_class=2)
    assert shown == [2, 1, 3]  # mean IoU 1/3, 1; one car
    picture = cv2.imread(str(out)).astype(int)
    # Second row, second object: 36 pixels around (15, 20) take 132; the mask is 10 x 20 of them, at (8, 13)...
    left, top, scale = 84 + 132 + 4, 22 + 132 + 4, 132 / 36
    red = np.abs(picture - (60, 70, 255)).sum(axis=-1) < 60
    rows, columns = np.nonzero(red[top : top + 132, left : left + 132])
    assert columns.min() / scale == pytest.approx(13, abs=0.5) and columns.max() / scale == pytest.approx(23, abs=0.5)
    assert rows.min() / scale == pytest.approx(8, abs=0.5) and rows.max() / scale == pytest.approx(28, abs=0.5)
    green = np.abs(picture - (90, 220, 60)).sum(axis=-1) < 60
    assert not green[top : top + 132, left : left + 132].any()  # equal masks: red lies on green
    assert green[top : top + 132, 84 : 84 + 132].any()


def test_the_tool_writes_table_numbers_and_picture(files, tmp_path, monkeypatch, capsys) -> None:
    out = {name: tmp_path / 'out' / f'numbers.{name}' for name in ('json', 'png')}
    arguments = [
        files['exact'],
        f'a={files["good"]}',
        f'b={files["bad"]}',
        '--json',
        out['json'],
        '--picture',
        out['png'],
        '--images',
        tmp_path,
    ]
    monkeypatch.setattr(sys, 'argv', ['compare_masks.py', *map(str, arguments)])
    runpy.run_path(str(REPO / 'tools' / 'analysis' / 'compare_masks.py'), run_name='__main__')
    assert '| car | b | 1 | 0.000 | 0.000 | 0.0 % | 0.0 % |' in capsys.readouterr().out.splitlines()
    assert json.loads(out['json'].read_text())['a']['car']['mean'] == pytest.approx(0.8)
    assert cv2.imread(str(out['png'])).shape == (22 + 3 * 136, 84 + 3 * 136, 3)
