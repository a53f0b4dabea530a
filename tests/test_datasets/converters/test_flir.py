"""FLIR ADAS v1.3 and v2, on small releases in their own layout."""

import json
from dataclasses import replace
from pathlib import Path

from mmdet_ir.datasets.coco_merge import merge_data_sets
from mmdet_ir.datasets.converters import Options, convert_flir_v1, convert_flir_v2
from mmdet_ir.datasets.converters.class_names import FOUR_CLASSES

import cv2
import numpy as np
import pytest

FOUR = Options(classes=FOUR_CLASSES)
WIDTH, HEIGHT = 64, 48


V1_NAMES = {1: 'person', 2: 'bicycle', 3: 'car', 18: 'dog', 91: 'other vehicle'}


# In v2 ids differ between documents: here they are those of v1 in another order.
V2_NAMES = {3: 'person', 1: 'bike', 2: 'car', 17: 'dog', 8: 'truck'}


def load(out: Path) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in (out / 'annotations').iterdir()}


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def box_entry(number: int, image: int, category: int, box: list) -> dict:
    x, y, w, h = box
    corners = [x, y, x, y + h, x + w, y + h, x + w, y]  # as in v1.3
    return {
        'id': number,
        'image_id': image,
        'category_id': category,
        'bbox': box,
        'segmentation': [corners],
        'area': w * h,
        'iscrowd': 0,
    }


def write_pair(eight: Path, sixteen: Path, counts: np.ndarray) -> None:
    for path in (eight, sixteen):
        path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(eight), (counts // 64).astype(np.uint8))
    cv2.imwrite(str(sixteen), counts)


def scene(boxes: list) -> np.ndarray:
    """14-bit counts; what is in a box is hotter in its middle."""
    counts = np.full((HEIGHT, WIDTH), 7000, np.uint16)
    for x, y, w, h in boxes:
        counts[y + h // 5 : y + h - h // 5, x + w // 5 : x + w - w // 5] = 12000
    return counts


BOXES = [(3, [5, 6, 20, 10]), (1, [30, 10, 10, 20]), (2, [45, 20, 15, 15])]


@pytest.fixture
def flir_v1(tmp_path) -> Path:
    root = tmp_path / 'v1'
    numbers = {'train': ('FLIR_00001', 'FLIR_00002'), 'val': ('FLIR_08863',), 'video': ('FLIR_video_00001',)}
    for part, names in numbers.items():
        coco = {
            'info': {},
            'images': [],
            'annotations': [],
            'categories': [{'id': i, 'name': name, 'supercategory': 'unknown'} for i, name in V1_NAMES.items()],
        }
        for k, name in enumerate(names):  # image ids start at 0 in every part
            coco['images'].append(
                {
                    'id': k,
                    'file_name': f'thermal_8_bit/{name}.jpeg',
                    'width': WIDTH,
                    'height': HEIGHT,
                    'extra_info': {},
                }
            )
            coco['annotations'] += [box_entry(10 * k + j, k, i, box) for j, (i, box) in enumerate(BOXES)]
            folder = root / part
            eight, sixteen = folder / f'thermal_8_bit/{name}.jpeg', folder / f'thermal_16_bit/{name}.tiff'
            write_pair(eight, sixteen, scene([box for _, box in BOXES]))
            (folder / 'Annotated_thermal_8_bit').mkdir(exist_ok=True)
            (folder / f'Annotated_thermal_8_bit/{name}.jpeg').write_text('never read')
        (root / part / 'thermal_annotations.json').write_text(json.dumps(coco))
    extra = [box_entry(90, 0, 18, [1, 1, 5, 5]), box_entry(91, 0, 91, [1, 1, 5, 5]), box_entry(92, 0, 1, [9, 9, 0, 8])]
    edit(root / 'train/thermal_annotations.json', lambda c: c['annotations'].extend(extra))
    return root


def test_flir_v1(flir_v1, tmp_path):
    report = convert_flir_v1(flir_v1, tmp_path / 'out', options=FOUR)
    parts = load(tmp_path / 'out')
    files = {split: [image['file_name'] for image in coco['images']] for split, coco in parts.items()}
    assert files == {
        'train': ['train/thermal_8_bit/FLIR_00001.jpeg', 'train/thermal_8_bit/FLIR_00002.jpeg'],
        'val': ['val/thermal_8_bit/FLIR_08863.jpeg'],
        'test': ['video/thermal_8_bit/FLIR_video_00001.jpeg'],
    }
    images = [image['id'] for coco in parts.values() for image in coco['images']]
    annotations = [a for coco in parts.values() for a in coco['annotations']]
    assert len(set(images)) == 4 and len({a['id'] for a in annotations}) == len(annotations) == 12
    for coco in parts.values():
        assert [c['name'] for c in coco['categories']] == ['human', 'car', 'bicycle', 'uav']
        for image in coco['images']:
            found = [(a['category_id'], a['bbox']) for a in coco['annotations'] if a['image_id'] == image['id']]
            assert found == [(2, [5, 6, 20, 10]), (1, [30, 10, 10, 20]), (3, [45, 20, 15, 15])]
            source = flir_v1 / image['file_name']
            assert (tmp_path / 'out/images' / image['file_name']).read_bytes() == source.read_bytes()
    # The release's polygons are just its boxes: no masks.
    assert all(a['segmentation'] == [] and 'mask_source' not in a for a in annotations)
    assert report.read == {'person': 5, 'car': 4, 'bicycle': 4, 'dog': 1, 'other vehicle': 1}
    assert report.unmapped == {'dog': 1, 'other vehicle': 1}
    assert report.dropped == {'person: box without width or height': 1}
    assert report.written == {
        'train': {'human': 2, 'car': 2, 'bicycle': 2},
        'val': {'human': 1, 'car': 1, 'bicycle': 1},
        'test': {'human': 1, 'car': 1, 'bicycle': 1},
    }
    assert 'thermal_annotations.json, annotation id 92' in str(report)


def test_flir_v1_merges_with_others(flir_v1, tmp_path):
    convert_flir_v1(flir_v1, tmp_path / 'a', options=FOUR)
    convert_flir_v1(flir_v1, tmp_path / 'b', bits=16, options=FOUR)
    merged = merge_data_sets(tmp_path / 'out', [tmp_path / 'a', tmp_path / 'b'])
    assert len(merged['train']['images']) == 4 and len(merged['train']['annotations']) == 12


def test_flir_v1_sixteen_bits(flir_v1, tmp_path):
    low = cv2.imread(str(flir_v1 / 'val/thermal_8_bit/FLIR_08863.jpeg'), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(flir_v1 / 'val/thermal_16_bit/FLIR_08863.tiff'), low.astype(np.uint16))
    report = convert_flir_v1(flir_v1, tmp_path / 'out', bits=16, options=replace(FOUR, derive_masks=True))
    parts = load(tmp_path / 'out')
    assert sorted(parts) == ['test', 'train']
    name = parts['train']['images'][0]['file_name']
    assert name == 'train/thermal_16_bit/FLIR_00001.tiff'
    counts = cv2.imread(str(tmp_path / 'out/images' / name), cv2.IMREAD_UNCHANGED)
    assert counts.dtype == np.uint16 and counts.max() == 12000
    assert report.notes == ['1 of 4 images hold 8-bit levels in a 16-bit file: left out (see skipped)']
    assert (
        len(report.skipped) == 1
        and 'FLIR_08863.tiff: expected more than 8 bits, got 8-bit levels; 3 objects' in (report.skipped[0])
    )
    assert report.dropped['car: its image is left out'] == 1
    # Derived from the counts: the hot 6 x 12 and 9 x 9 pixels of person and bicycle, the whole box of the car.
    areas = {(a['category_id'], a['mask_method'], a['area']) for c in parts.values() for a in c['annotations']}
    assert areas == {(1, 'threshold', 6 * 12), (3, 'threshold', 9 * 9), (2, 'oriented_box', 200)}

    kept = convert_flir_v1(flir_v1, tmp_path / 'kept', bits=16, keep_eight_bit=True, options=FOUR)
    assert kept.images == {'train': 2, 'val': 1, 'test': 1} and not kept.skipped
    assert 'kept, marked eight_bit' in kept.notes[0]
    assert [i.get('eight_bit') for c in load(tmp_path / 'kept').values() for i in c['images']].count(True) == 1


@pytest.fixture
def flir_v2(tmp_path) -> Path:
    root = tmp_path / 'v2'
    for part, clip in (('images_thermal_train', 'aB1'), ('images_thermal_val', 'cD2'), ('video_thermal_test', 'eF3')):
        name = f'video-{clip}-frame-000745-xYz'
        coco = {
            'images': [{'id': 5, 'file_name': f'data/{name}.jpg', 'width': WIDTH, 'height': HEIGHT}],
            'categories': [{'id': i, 'name': n} for i, n in V2_NAMES.items()],
            'annotations': [
                box_entry(j, 5, next(k for k, n in V2_NAMES.items() if n == label), box)
                for j, (label, box) in enumerate(
                    [('bike', [5, 6, 20, 10]), ('person', [30, 10, 10, 20]), ('truck', [45, 20, 15, 15])]
                )
            ],
        }
        write_pair(root / part / f'data/{name}.jpg', root / part / f'analyticsData/{name}.tiff', scene([]))
        (root / part / 'coco.json').write_text(json.dumps(coco))
    return root


def test_flir_v2_maps_by_name(flir_v2, tmp_path):
    report = convert_flir_v2(flir_v2, tmp_path / 'out', options=FOUR)
    parts = load(tmp_path / 'out')
    assert sorted(parts) == ['test', 'train', 'val']
    for coco in parts.values():
        assert [(a['category_id'], a['bbox'], a['source_class']) for a in coco['annotations']] == [
            (3, [5, 6, 20, 10], 'bike'),
            (1, [30, 10, 10, 20], 'person'),
        ]
    image = parts['val']['images'][0]
    assert (image['clip'], image['frame']) == ('cD2', 745)
    assert image['file_name'] == 'images_thermal_val/data/video-cD2-frame-000745-xYz.jpg'
    assert report.unmapped == {'truck': 3} and not report.notes


def test_flir_v2_reports_shared_recordings_and_missing_parts(flir_v2, tmp_path):
    (flir_v2 / 'video_thermal_test/coco.json').unlink()
    data = flir_v2 / 'images_thermal_val/data'
    (data / 'video-cD2-frame-000745-xYz.jpg').rename(data / 'video-aB1-frame-000746-q.jpg')
    edit(
        flir_v2 / 'images_thermal_val/coco.json',
        lambda c: c['images'][0].update(file_name='data/video-aB1-frame-000746-q.jpg'),
    )
    report = convert_flir_v2(flir_v2, tmp_path / 'out', options=FOUR)
    assert len(report.notes) == 2
    assert report.notes[0].endswith('video_thermal_test/coco.json is not there, so nothing was read for test')
    assert report.notes[1] == 'the release shares 1 recordings between train and val'


def test_flir_v2_without_analytics_data(flir_v2, tmp_path):
    for path in flir_v2.rglob('*.tiff'):
        path.unlink()
    with pytest.raises(ValueError, match=r'no usable image; 3 skipped; the first: .*analyticsData/.*tiff'):
        convert_flir_v2(flir_v2, tmp_path / 'out', bits=16)


@pytest.mark.parametrize('name', ['../../../secret.jpeg', '/etc/secret.jpeg', 'C:\\secret.jpeg', 5])
def test_flir_file_names_that_leave_the_release(flir_v1, tmp_path, name):
    cv2.imwrite(str(tmp_path / 'secret.jpg'), np.zeros((HEIGHT, WIDTH), np.uint8))
    (tmp_path / 'secret.jpg').rename(tmp_path / 'secret.jpeg')
    edit(flir_v1 / 'val/thermal_annotations.json', lambda c: c['images'][0].update(file_name=name))
    report = convert_flir_v1(flir_v1, tmp_path / 'out', options=FOUR)
    assert len(report.skipped) == 1
    assert 'val/thermal_annotations.json, image id 0: expected a file' in report.skipped[0]
    assert (repr(name) if isinstance(name, str) else 'got int') in report.skipped[
        0
    ] and '3 objects left out with it' in report.skipped[0]
    assert not any('secret' in path.name for path in (tmp_path / 'out').rglob('*'))


def test_flir_damaged_entries(flir_v1, tmp_path):
    def damage(coco):
        coco['annotations'] += [
            {**box_entry(70, 0, 3, [1, 1, 5, 5]), 'image_id': 77},
            {**box_entry(71, 0, 3, [1, 1, 5, 5]), 'category_id': 4},
            {**box_entry(72, 0, 3, [1, 1, 5, 5]), 'category_id': [3]},
            {**box_entry(73, 0, 3, [1, 1, 5, 5]), 'bbox': [1, 1, 5]},
            {**box_entry(74, 0, 3, [1, 1, 5, 5]), 'iscrowd': 'yes and no'},
            {**box_entry(75, 0, 3, [1, 1, 5, 5]), 'bbox': ['1', '1', '5', 10**400]},
            {**box_entry(76, 0, 3, [1, 1, 5, 5]), 'bbox': ['1', '1', '5', '5'], 'iscrowd': '1'},
            'text',
        ]

    edit(flir_v1 / 'val/thermal_annotations.json', damage)
    report = convert_flir_v1(flir_v1, tmp_path / 'out', options=FOUR)
    assert report.dropped == {
        'person: box without width or height': 1,
        'car: image id that is not in "images"': 1,
        '(no class): category id that is not in "categories"': 3,
        'car: box that is not four finite numbers': 2,
        'car: iscrowd that is neither 0 nor 1': 1,
    }
    assert report.ignored['val'] == {'car': 1}
    assert 'annotation number 3, id 70' in str(report)
    for change, message in (
        (lambda c: c['images'].append(dict(c['images'][0])), 'ids in "images" occur more than once'),
        (lambda c: c['categories'].append(dict(c['categories'][0])), 'ids in "categories" occur more than once'),
        (lambda c: c['images'][0].pop('file_name'), 'entries of "images" without id and file_name; their numbers: 0'),
        (lambda c: c.pop('annotations'), 'expected a list "annotations", got NoneType'),
    ):
        original = (flir_v1 / 'val/thermal_annotations.json').read_text()
        edit(flir_v1 / 'val/thermal_annotations.json', change)
        with pytest.raises(ValueError, match=message):
            convert_flir_v1(flir_v1, tmp_path / 'other')
        (flir_v1 / 'val/thermal_annotations.json').write_text(original)


def test_flir_tool(flir_v1, flir_v2, tmp_path, run_tool, capsys):
    assert run_tool('flir-v2', flir_v2, tmp_path / 'a', '--classes', 'human=person', 'truck=truck') == 0
    coco = load(tmp_path / 'a')['train']
    assert [c['name'] for c in coco['categories']] == ['human', 'truck']
    assert [a['category_id'] for a in coco['annotations']] == [1, 2]
    text = capsys.readouterr().out
    assert 'read:    bike 3, person 3, truck 3\nclasses: person -> human, truck -> truck' in text
    assert 'left out, no class for them (--classes): bike 3' in text
    for arguments, message in (
        (('flir-v2', flir_v2, tmp_path / 'a'), 'is not empty'),
        (('flir-v1', flir_v2, tmp_path / 'b'), r'expected thermal_annotations.json in one of train, val, video.*v1.0'),
        (('flir-v1', flir_v1, tmp_path / 'b', '--classes', 'human'), 'expected class=name'),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            run_tool(*arguments)
    assert not (tmp_path / 'b').exists()
