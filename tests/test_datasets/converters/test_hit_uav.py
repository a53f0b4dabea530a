"""HIT-UAV, on a small release in its own layout and on the real one."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path

from mmdet_ir.datasets.converters import convert_hit_uav

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils
from release_checks import NAMES, check_masks, load

RELEASE_CLASSES = ['Person', 'Car', 'Bicycle', 'OtherVehicle', 'DontCare']


# date, part of the release, objects: class, (cx, cy, w, h, theta)
IMAGES = [
    ('20210116', 'train', [('Person', (50, 40, 12, 24, 0.0)), ('Car', (150.5, 90, 60, 30, 0.4))]),
    ('20210114', 'train', [('Bicycle', (80, 60, 30, 10, 2.8)), ('OtherVehicle', (150, 90, 50, 24, 0.2))]),
    ('20210114', 'val', [('DontCare', (100, 70, 40, 20, 0.0)), ('Person', (30, 30, 10, 20, 0.0))]),
    ('20210121', 'test', [('Car', (195, 140, 30, 20, 0.0))]),  # reaches beyond the corner of the image
    ('20210115', 'test', []),
]


SIZE = (200, 150)  # width, height


def target_ellipse(box) -> tuple:
    """What is hot in a box, in OpenCV's terms."""
    cx, cy, w, h, angle = box
    return (cx, cy), (0.8 * w, 0.8 * h), math.degrees(angle)


def envelope(box) -> list[int]:
    """Upright box around a turned one, rounded down as in the release; hand-written, not the package's."""
    cx, cy, w, h, angle = box
    half_x = (abs(w * math.cos(angle)) + abs(h * math.sin(angle))) / 2
    half_y = (abs(w * math.sin(angle)) + abs(h * math.cos(angle))) / 2
    x0, y0 = math.floor(cx - half_x), math.floor(cy - half_y)
    return [x0, y0, math.floor(cx + half_x) - x0, math.floor(cy + half_y) - y0]


@pytest.fixture
def hit_uav(tmp_path) -> Path:
    """A release of five images in HIT-UAV's own layout."""
    root = tmp_path / 'release'
    for part in ('train', 'val', 'test'):
        (root / 'normal_json' / part).mkdir(parents=True)
        normal = {'info': {}, 'licenses': [{'url': 'x'}, {'name': 'x'}], 'images': [], 'annotation': []}
        normal['categories'] = [{'supercategory': 'x', 'id': i, 'name': n} for i, n in enumerate(RELEASE_CLASSES)]
        rotate = {'images': [], 'annotations': [], 'categories': normal['categories']}
        for k, (date, where, objects) in enumerate(IMAGES):
            if where != part:
                continue
            image = np.full((SIZE[1], SIZE[0]), 90, np.uint8)
            name = f'{k % 2}_60_50_0_{k:05d}.jpg'
            common = {'id': k, 'filename': name, 'width': SIZE[0], 'height': SIZE[1]}
            normal['images'].append({**common, 'date_captured': date})
            more = {'scenario': str(k % 2), 'weather': '0', 'perspective': '50', 'altitude': '60', 'date': date}
            rotate['images'].append({**common, **more})
            for j, (label, box) in enumerate(objects):
                cv2.ellipse(image, target_ellipse(box), 200, -1)
                entry = {'id': 100 * k + j, 'image_id': k, 'category_id': RELEASE_CLASSES.index(label)}
                normal['annotation'].append({**entry, 'bbox': envelope(box), 'area': 1, 'segmentation': [[]]})
                rotate['annotations'].append({**entry, 'bbox': list(box), 'difficult': False})
            cv2.imwrite(str(root / 'normal_json' / part / name), cv2.merge([image] * 3))
        for kind, content in (('normal_json', normal), ('rotate_json', rotate)):
            (root / kind / 'annotations').mkdir(parents=True, exist_ok=True)
            (root / kind / 'annotations' / f'{part}.json').write_text(json.dumps(content))
    return root


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_hit_uav_small_release(hit_uav, tmp_path):
    report = convert_hit_uav(hit_uav, tmp_path / 'out')
    parts = load(tmp_path / 'out')
    assert {s: sorted(i['date'] for i in c['images']) for s, c in parts.items()} == {
        'train': ['20210114', '20210114', '20210115'],
        'val': ['20210116', '20210121'],
    }
    first = next(i for i in parts['val']['images'] if i['date'] == '20210116')
    assert (first['altitude'], first['perspective'], first['scenario'], first['source_split']) == (
        60,
        50,
        'day',
        'train',
    )
    assert (first['width'], first['height']) == SIZE
    assert {i['scenario'] for i in parts['train']['images']} == {'night', 'day'}

    rows = [
        (NAMES[a['category_id']], a['iscrowd'], a['source_class'], a['mask_method'])
        for c in parts.values()
        for a in c['annotations']
    ]
    assert sorted(rows) == sorted(
        [
            ('human', 0, 'Person', 'threshold'),
            ('human', 0, 'Person', 'threshold'),
            ('car', 0, 'Car', 'oriented_box'),
            ('car', 0, 'Car', 'oriented_box'),
            ('bicycle', 0, 'Bicycle', 'threshold'),
            ('car', 1, 'OtherVehicle', 'oriented_box'),
            ('human', 1, 'DontCare', 'oriented_box'),
            ('car', 1, 'DontCare', 'oriented_box'),
            ('bicycle', 1, 'DontCare', 'oriented_box'),
        ]
    )
    assert report.read == {'Person': 2, 'Car': 2, 'Bicycle': 1, 'OtherVehicle': 1, 'DontCare': 1}
    assert report.written == {'train': {'human': 1, 'bicycle': 1}, 'val': {'human': 1, 'car': 2}}
    assert report.ignored == {'train': {'car': 2, 'human': 1, 'bicycle': 1}, 'val': {}}
    assert report.clipped == 1 and not report.dropped and not report.skipped
    assert 'train:   3 images; bicycle 1, human 1; ignored regions: bicycle 1, car 2, human 1' in str(report)


def test_hit_uav_boxes_and_masks(hit_uav, tmp_path):
    convert_hit_uav(hit_uav, tmp_path / 'out')
    sources = {100 * k + j: box for k, image in enumerate(IMAGES) for j, (_, box) in enumerate(image[2])}
    for coco in load(tmp_path / 'out').values():
        for a in coco['annotations']:
            box = sources[a['source_id']]
            x, y, w, h = envelope(box)
            clipped = [x, y, min(x + w, SIZE[0]) - x, min(y + h, SIZE[1]) - y]
            assert a['bbox'] == clipped
            mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(a['segmentation'], *SIZE[::-1])))
            assert a['area'] == mask.sum()
            truth = np.zeros(SIZE[::-1], np.uint8)
            if a['mask_method'] == 'oriented_box':
                corners = cv2.boxPoints((box[:2], box[2:4], math.degrees(box[4])))
                cv2.fillPoly(truth, [corners.round().astype(int)], 1)
            else:
                cv2.ellipse(truth, target_ellipse(box), 1, -1)
            assert (mask & truth).sum() / (mask | truth).sum() > 0.85


def test_hit_uav_val_dates(hit_uav, tmp_path):
    convert_hit_uav(hit_uav, tmp_path / 'out', val_dates=('20210115',))
    parts = load(tmp_path / 'out')
    assert [i['date'] for i in parts['val']['images']] == ['20210115']
    assert parts['val']['annotations'] == []
    assert parts['val']['info']['val_dates'] == ['20210115']
    with pytest.raises(ValueError, match='dates 20200101; dates found: 20210114, 20210115, 20210116, 20210121'):
        convert_hit_uav(hit_uav, tmp_path / 'none', val_dates=('20210115', '20200101'))
    with pytest.raises(ValueError, match='no date is left for training'):
        convert_hit_uav(hit_uav, tmp_path / 'none', val_dates=('20210114', '20210115', '20210116', '20210121'))


def test_hit_uav_sets_a_date_aside_from_training(hit_uav, tmp_path):
    convert_hit_uav(hit_uav, tmp_path / 'plain', val_dates=('20210121',))
    assert not (tmp_path / 'plain' / 'annotations' / 'dev.json').exists()
    convert_hit_uav(hit_uav, tmp_path / 'out', val_dates=('20210121',), dev_dates=('20210115',))
    plain, parts = load(tmp_path / 'plain'), load(tmp_path / 'out')
    dev = json.loads((tmp_path / 'out' / 'annotations' / 'dev.json').read_text())
    assert [image['date'] for image in dev['images']] == ['20210115']
    assert dev['info']['dev_dates'] == ['20210115']
    names = [image['file_name'] for image in parts['train']['images']]
    assert names == [i['file_name'] for i in plain['train']['images'] if i['date'] != '20210115'] and names
    assert parts['val']['images'] == plain['val']['images']
    ids = [image['id'] for coco in (*parts.values(), dev) for image in coco['images']]
    assert len(ids) == len(set(ids)) == 5


@pytest.mark.parametrize(
    ('dates', 'message'),
    [
        (('20200101',), 'dates to set aside, 20200101; dates found: 20210114'),
        (('20210121',), 'each date in one part, got 20210121'),
        (('20210114', '20210115', '20210116'), 'no date is left for training'),
    ],
)
def test_hit_uav_dates_that_cannot_be_set_aside(hit_uav, tmp_path, dates, message):
    with pytest.raises(ValueError, match=message):
        convert_hit_uav(hit_uav, tmp_path / 'none', val_dates=('20210121',), dev_dates=dates)


def test_hit_uav_skips_unreadable_images_and_names_them(hit_uav, tmp_path, run_tool, capsys):
    folder = hit_uav / 'normal_json' / 'train'
    missing, broken = sorted(folder.iterdir())
    missing.unlink()
    broken.write_bytes(broken.read_bytes()[:40])
    report = convert_hit_uav(hit_uav, tmp_path / 'out', val_dates=('20210121',))
    assert report.skipped == [f'{missing}: no such file', f'{broken}: not a readable image']
    assert report.images == {'train': 2, 'val': 1}
    arguments = ('hit-uav', hit_uav, tmp_path / 'out', '--overwrite', '--val-dates', '20210121')
    assert run_tool(*arguments) == run_tool(*arguments, '--strict') == 1
    assert f'skipped 2 files:\n  {missing}: no such file' in capsys.readouterr().out
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=r'no readable image for val; first of 2 problems: .*no such file'):
        run_tool(*arguments[:4], '--val-dates', '20210116')


def test_hit_uav_errors_name_file_and_entry(hit_uav, tmp_path):
    normal, rotate = (hit_uav / kind / 'annotations' / 'train.json' for kind in ('normal_json', 'rotate_json'))
    texts = normal.read_text(), rotate.read_text()

    def check(path, change, message, kind=ValueError):
        edit(path, change)
        with pytest.raises(kind, match=message):
            convert_hit_uav(hit_uav, tmp_path / 'out')
        normal.write_text(texts[0])
        rotate.write_text(texts[1])
        assert not (tmp_path / 'out').exists()

    check(normal, lambda c: c['images'][0].update(filename='../x.jpg'), "train.json, image id 0: .* got '../x.jpg'")
    check(normal, lambda c: c['images'][0].update(filename='/x.jpg'), "train.json, image id 0: .* got '/x.jpg'")
    check(rotate, lambda c: c['annotations'].pop(1), 'rotate_json.*train.json: annotation id 1 is missing')
    check(rotate, lambda c: c['annotations'][1].update(image_id=1), 'annotation id 1 is missing, or is of another')
    check(rotate, lambda c: c['images'].pop(0), 'rotate_json.*train.json: image id 0 .* is missing')
    check(rotate, lambda c: c['images'][0].update(filename='x.jpg'), 'image id 0 .* has another file name')
    check(
        normal, lambda c: c['categories'][2].update(name='Truck'), r"train.json: expected classes .* got \['Truck'\]"
    )
    check(
        normal, lambda c: c.pop('annotation'), "train.json or its twin .* not as in the release: KeyError.'annotation'"
    )
    normal.write_text(texts[0][:300])
    with pytest.raises(ValueError, match='normal_json/annotations/train.json is not valid JSON'):
        convert_hit_uav(hit_uav, tmp_path / 'out')
    normal.unlink()
    with pytest.raises(FileNotFoundError, match='normal_json/annotations/train.json'):
        convert_hit_uav(hit_uav, tmp_path / 'out')


def test_hit_uav_oriented_boxes_that_do_not_fit_are_not_used(hit_uav, tmp_path):
    path = hit_uav / 'rotate_json' / 'annotations' / 'train.json'
    edit(path, lambda c: c['annotations'][1].update(bbox=[20, 20, 10, 10, 0.1]))  # the first image's car
    report = convert_hit_uav(hit_uav, tmp_path / 'out')
    assert report.notes == ['1 oriented boxes do not fit their upright boxes, which were used instead']
    car = next(a for a in load(tmp_path / 'out')['val']['annotations'] if a['source_id'] == 1)
    x, y, w, h = envelope(IMAGES[0][2][1][1])
    assert car['area'] == w * h


def test_hit_uav_other_dates_than_before_are_told(hit_uav, tmp_path):
    """Once more without the date for choices: its image goes to training, which is no secret."""
    convert_hit_uav(hit_uav, tmp_path / 'out', dev_dates=('20210115',))
    told = 'the split that was there is not kept'
    again = convert_hit_uav(hit_uav, tmp_path / 'out', overwrite=True, dev_dates=('20210115',))
    assert not any(told in note for note in again.notes)
    other = convert_hit_uav(hit_uav, tmp_path / 'out', overwrite=True)
    name = next(i['file_name'] for i in load(tmp_path / 'out')['train']['images'] if i['date'] == '20210115')
    assert f'{told}: 1 of 5 images are in another part than before, the first: {name} was in dev.json and is in ' in (
        str(other)
    )
    assert f'{name} was in dev.json and is in train.json' in str(other)


def test_existing_output_is_kept(hit_uav, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine.txt').write_text('')
    for overwrite in (False, True):
        with pytest.raises(FileExistsError):
            convert_hit_uav(hit_uav, tmp_path / 'out', overwrite=overwrite)
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['mine.txt']


@pytest.mark.real_data
def test_real_hit_uav(real_data_root, tmp_path):
    report = convert_hit_uav(real_data_root / 'hit_uav', tmp_path / 'out')
    raw = Counter()
    for part in ('train', 'val', 'test'):
        for kind, key in (('normal_json', 'annotation'), ('rotate_json', 'annotations')):
            content = json.loads((real_data_root / 'hit_uav' / kind / 'annotations' / f'{part}.json').read_text())
            raw.update((kind, RELEASE_CLASSES[a['category_id']]) for a in content[key])
            raw[kind] += len(content['images'])
    parts = load(tmp_path / 'out')
    written = Counter((a['source_class'], a['iscrowd']) for c in parts.values() for a in c['annotations'])
    for kind in ('normal_json', 'rotate_json'):
        assert {name: n for (name, crowd), n in written.items() if not crowd} == {
            name: raw[kind, name] for name in ('Person', 'Car', 'Bicycle')
        }
        assert written['OtherVehicle', 1] == raw[kind, 'OtherVehicle']
        assert written['DontCare', 1] == 3 * raw[kind, 'DontCare']
        assert (
            sum(len(c['images']) for c in parts.values())
            == raw[kind]
            == len(list((tmp_path / 'out/images').iterdir()))
        )
    assert not report.skipped and not report.dropped and not report.notes
    dates = {split: {image['date'] for image in coco['images']} for split, coco in parts.items()}
    assert dates['val'] == {'20210116', '20210121'} and not dates['val'] & dates['train']

    methods = check_masks(tmp_path / 'out')
    assert {method for name, method in methods if name == 'car'} == {'oriented_box'}
    for name in ('human', 'bicycle'):  # the fallback is the exception
        assert methods[name, 'threshold'] > 5 * methods[name, 'ellipse']
