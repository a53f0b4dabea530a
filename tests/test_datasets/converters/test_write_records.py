"""From images and objects to a data set."""

import json
import math
from dataclasses import replace
from pathlib import Path

from mmdet_ir.datasets.converters.builder import Instance
from mmdet_ir.datasets.converters.records import Record, write_records
from mmdet_ir.datasets.converters.report import ConversionReport

import cv2
import numpy as np
import pytest
from hand_made import FOUR
from pycocotools import mask as mask_utils


def decode(segmentation, height: int, width: int) -> np.ndarray:
    rle = (
        segmentation
        if isinstance(segmentation, dict)
        else mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    )
    return mask_utils.decode(rle).astype(bool)


def make_records(folder: Path, items: list[Instance], count: int = 1) -> list[Record]:
    records = []
    for k in range(count):
        image = np.full((40, 60), 90, np.uint8)
        image[10:20, 12:18] = 200
        cv2.imwrite(str(folder / f'{k}.png'), image)
        labels = [item.name for item in items]
        records.append(Record(folder / f'{k}.png', f'{k}.png', 'train', f'file {k}', labels, lambda w, h: items))
    return records


def test_every_object_is_accounted_for(tmp_path):
    items = [
        Instance('person', 'a', [12, 10, 6, 10]),
        Instance('person', 'b', [12, 10, 0, 10]),
        Instance('person', 'c', [12, 10, -3, 10]),
        Instance('person', 'd', [70, 10, 5, 5]),
        Instance('person', 'e', [12, 10, math.nan, 5]),
        Instance('person', 'f', 'box'),
        Instance('person', 'g', fault='broken'),
        Instance('car', 'h', [55, 30, 10, 20]),
        Instance('dog', 'i', [1, 1, 5, 5]),
        Instance('bike', 'j', [20, 20, 4, 4], ignore=True),
        Instance('Car', 'k', mask=[[30, 10, 50, 10, 50, 22, 30, 22]]),
    ]
    records = make_records(tmp_path, items, 2)
    records[1].path = tmp_path / 'missing.png'
    report = write_records(records, tmp_path / 'out', 'test', FOUR, ConversionReport())
    assert report.read == {'person': 14, 'car': 2, 'dog': 2, 'bike': 2, 'Car': 2}
    assert report.written['train'] == {'human': 1, 'car': 2} and report.ignored['train'] == {'bicycle': 1}
    assert report.unmapped == {'dog': 1}
    assert report.dropped == {
        'person: box without width or height': 2,
        'person: box outside the image or under 1 pixel': 1,
        'person: box that is not four finite numbers': 2,
        'person: broken': 1,
        'person: its image is left out': 7,
        'car: its image is left out': 1,
        'dog: its image is left out': 1,
        'bike: its image is left out': 1,
        'Car: its image is left out': 1,
    }
    written = sum(report.written['train'].values()) + sum(report.ignored['train'].values())
    assert report.read.total() == written + report.unmapped.total() + report.dropped.total() == 22
    text = str(report)
    assert 'left out, no class for them (--classes): dog 1' in text
    assert 'dropped, person: box without width or height: 2\n    b\n    c' in text
    assert 'missing.png; 11 objects left out with it' in text
    assert 'no mask: bicycle 1, car 1, human 1 (boxes only; --derive-masks makes masks for them)' in text
    coco = json.loads((tmp_path / 'out/annotations/train.json').read_text())
    assert [(a['bbox'], a['area'], a['iscrowd'], a['category_id']) for a in coco['annotations']] == [
        ([12, 10, 6, 10], 60, 0, 1),
        ([55, 30, 5, 10], 50, 0, 2),
        ([20, 20, 4, 4], 16, 1, 3),
        ([30, 10, 20, 12], 240, 0, 2),
    ]
    assert [a.get('mask_source') for a in coco['annotations']] == [None, None, None, 'annotated']
    assert sorted(p.name for p in (tmp_path / 'out').rglob('*.*')) == ['0.png', 'train.json']


def test_masks_are_derived_only_on_request_and_marked(tmp_path):
    items = [Instance('person', 'a', [11, 9, 8, 12]), Instance('car', 'b', [30, 20, 20, 10])]
    records = make_records(tmp_path, items)
    report = write_records(records, tmp_path / 'out', 'test', replace(FOUR, derive_masks=True), ConversionReport())
    person, car = json.loads((tmp_path / 'out/annotations/train.json').read_text())['annotations']
    assert (person['mask_source'], person['mask_method'], person['area']) == ('derived', 'threshold', 60)
    assert decode(person['segmentation'], 40, 60)[10:20, 12:18].all()
    assert (car['mask_source'], car['mask_method'], car['area']) == ('derived', 'oriented_box', 200)
    assert report.methods == {('human', 'threshold'): 1, ('car', 'oriented_box'): 1} and not report.boxes_only


def test_source_images_are_never_changed_and_symlinks_become_files(tmp_path):
    records = make_records(tmp_path, [Instance('car', 'a', [1, 1, 9, 9])])
    (tmp_path / 'store').mkdir()
    (tmp_path / '0.png').rename(tmp_path / 'store/real.png')
    (tmp_path / '0.png').symlink_to('store/real.png')
    write_records(records, tmp_path / 'out', 'test', FOUR, ConversionReport())
    copy = tmp_path / 'out/images/0.png'
    assert not copy.is_symlink() and copy.read_bytes() == (tmp_path / 'store/real.png').read_bytes()


def test_nothing_left_is_an_error_and_leaves_nothing_behind(tmp_path):
    records = make_records(tmp_path, [Instance('dog', 'a', [1, 1, 9, 9])])
    with pytest.raises(ValueError, match=r"no object left to write; classes of the source are \['dog'\]; .*--classes"):
        write_records(records, tmp_path / 'out', 'test', FOUR, ConversionReport())
    records[0].read = lambda width, height: []
    with pytest.raises(ValueError, match='none of the 1 images has an object'):
        write_records(records, tmp_path / 'out', 'test', FOUR, ConversionReport())
    records[0].size = (61, 40)
    with pytest.raises(
        ValueError,
        match=r'no usable image; 1 skipped; the first: .*0.png: expected width and height '
        r'\(61, 40\) as in file 0, got \(60, 40\)',
    ):
        write_records(records, tmp_path / 'out', 'test', FOUR, ConversionReport())
    assert [p.name for p in tmp_path.iterdir()] == ['0.png']


def test_images_that_do_not_load(tmp_path):
    records = make_records(tmp_path, [Instance('car', 'a', [1, 1, 9, 9])], 5)
    whole = records[1].path.read_bytes()
    records[1].path.write_bytes(whole[: len(whole) * 2 // 3])
    records[2].path.write_bytes(b'')
    for record, values in ((records[3], [7000.0, np.nan]), (records[4], [7000, 8000])):
        record.path = record.path.with_suffix('.npy')
        np.save(record.path, np.resize(values, (40, 60)))
        record.name = record.path.name
    report = write_records(records, tmp_path / 'out', 'test', replace(FOUR, derive_masks=True), ConversionReport())
    assert sorted(p.name for p in (tmp_path / 'out/images').iterdir()) == ['0.png', '4.npy']
    for line, message in zip(
        report.skipped,
        ('1.png: damaged, cut off', '2.png: the file is empty', '3.npy: 1200 of 2400 values are NaN'),
        strict=True,
    ):
        assert message in line and line.endswith('; 1 objects left out with it')


def test_an_image_occurs_once(tmp_path):
    records = make_records(tmp_path, [Instance('car', 'a', [1, 1, 9, 9])]) * 2
    report = write_records(records, tmp_path / 'out', 'test', FOUR, ConversionReport())
    assert report.images == {'train': 1} and report.written['train'] == {'car': 1}
    assert report.skipped == ['file 0: the image 0.png has occurred before; 1 objects left out with it']
