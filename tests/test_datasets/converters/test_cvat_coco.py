"""Converter of CVAT's COCO files."""

import unicodedata
import urllib.parse
from collections import Counter
from dataclasses import replace

from mmdet_ir.datasets.converters import (
    convert_cvat_coco,
)

import numpy as np
import pytest
from hand_made import (
    BAR,
    FOUR,
    HEIGHT,
    L_SHAPE,
    OBJECTS,
    WIDTH,
    check,
    cvat_file,
    load,
    pixels,
    pixels_of,
    uncompressed,
    write_image,
    write_json,
)


@pytest.mark.parametrize('rle', [False, True])
@pytest.mark.parametrize('folder', ['images', 'images/default', 'default', ''])
def test_cvat_round_trip(tmp_path, rle, folder):
    src = tmp_path / 'src'
    for image in 'ab':
        write_image(src / folder / f'{image}.png')
    write_json(src / 'annotations/instances_default.json', cvat_file('ab', rle))
    report = convert_cvat_coco(src, tmp_path / 'out', options=FOUR)
    inner = folder.removeprefix('images').strip('/')
    names = {image: f'{inner}/{image}.png'.strip('/') for image in 'ab'}
    # Boxes are those of the pixels where the masks are RLE; the triangle's tips have none.
    check(tmp_path / 'out', report, names, tolerance=1.25 if rle else 0)
    said = '4 masks marked iscrowd were read as instances'
    assert any(note.startswith(said) for note in report.notes) == rle


def test_cvat_file_names_may_hold_the_subset(tmp_path):
    write_image(tmp_path / 'src/images/train/a.png')
    coco = cvat_file('a', True)
    coco['images'][0]['file_name'] = 'train/a.png'
    write_json(tmp_path / 'src/annotations/instances_train.json', coco)
    assert convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', options=FOUR).images == {'train': 1}


def test_cvat_subsets_and_iscrowd(tmp_path):
    for subset, image in (('train', 'a'), ('validation', 'b')):
        write_image(tmp_path / f'src/images/{subset}/{image}.png')
        write_json(tmp_path / f'src/annotations/instances_{subset}.json', cvat_file(image, True))
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', keep_iscrowd=True, options=FOUR)
    assert report.ignored == {'train': {'human': 1, 'car': 1}, 'val': {'bicycle': 1}} and not report.notes
    assert [a['iscrowd'] for a in load(tmp_path / 'out', 'train')['annotations']] == [1, 1]
    image = load(tmp_path / 'out', 'val')['images'][0]
    assert (image['id'], image['file_name'], image['subset']) == (2, 'validation/b.png', 'validation')


def test_cvat_boxes_without_masks_and_boxes_that_differ(tmp_path):
    write_image(tmp_path / 'src/images/a.png')
    coco = cvat_file('a', False)
    entry = coco['annotations'][0]
    coco['annotations'] = [
        {**entry, 'id': 1, 'segmentation': []},
        {**entry, 'id': 2, 'bbox': [30, 10, 20, 12], 'segmentation': [BAR]},  # just the box
        {**entry, 'id': 3, 'bbox': [10, 5, 20, 25]},  # xyxy written as xywh
        {**entry, 'id': 4, 'bbox': [10, 5, 12, 21]},  # within the tolerance of 2 pixels
        {**entry, 'id': 5, 'bbox': 'text'},
    ]
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', options=FOUR)
    written = {
        a['source_id']: (a['bbox'], a['area'], a['segmentation'] != []) for a in load(tmp_path / 'out')['annotations']
    }
    outline = ([10, 5, 10, 20], 150, True)
    assert written == {
        1: ([10, 5, 10, 20], 200, False),
        2: ([30, 10, 20, 12], 240, False),
        3: outline,
        4: outline,
        5: outline,
    }
    assert '1 polygons are just their boxes and were taken as boxes without a mask' in report.notes
    assert '2 boxes of the source are more than 2 pixels off their masks; the extents of the masks were written' in (
        report.notes
    )


def test_cvat_invalid_masks_and_holes(tmp_path):
    write_image(tmp_path / 'src/images/a.png')
    ring = pixels([BAR])
    ring[14:18, 36:44] = False
    coco = cvat_file('a', True)
    entry = coco['annotations'][0]
    bad = [
        ({'size': [HEIGHT, WIDTH], 'counts': [10, 5]}, 'RLE whose runs do not add up to the image'),
        (
            {'size': [HEIGHT, WIDTH], 'counts': [2500, -100]},
            'RLE whose counts are damaged, or no whole numbers from 0 on',
        ),
        ({'size': [WIDTH, HEIGHT], 'counts': [2400]}, 'RLE of another size than the image'),
        ({'size': [HEIGHT, WIDTH], 'counts': [2400]}, 'mask without a pixel'),
        ([[1, 2, 3, 4]], 'polygon with fewer than 3 points'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'polygon with an odd number of coordinates'),
        ('text', 'no polygon'),
    ]
    coco['annotations'] = [{**entry, 'id': 1, 'segmentation': uncompressed(ring)}]
    coco['annotations'] += [{**entry, 'id': k, 'segmentation': s} for k, (s, _) in enumerate(bad, start=2)]
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', options=FOUR)
    assert report.dropped == {f'person: {reason}': 1 for _, reason in bad} and report.read == {'person': 8}
    (kept,) = load(tmp_path / 'out')['annotations']
    np.testing.assert_array_equal(pixels_of(kept), ring)
    assert kept['area'] == 240 - 32 and report.written['all'] == {'human': 1}
    assert any(note.startswith('1 masks have holes and are RLE') for note in report.notes)
    convert_cvat_coco(tmp_path / 'src', tmp_path / 'filled', options=replace(FOUR, fill_holes=True))
    (filled,) = load(tmp_path / 'filled')['annotations']
    assert filled['segmentation'] == [[30, 10, 30, 22, 50, 22, 50, 10]] or filled['area'] == 240
    np.testing.assert_array_equal(pixels_of(filled), pixels([BAR]))


def test_cvat_marks_of_masks_and_further_fields_are_kept(tmp_path):
    """A data set of ours as a source: masks derived from boxes, recordings, licences; names that Python code has."""
    for subset, image, licence in (('train', 'a', 'CC0'), ('val', 'b', 'MIT')):
        write_image(tmp_path / f'src/images/{image}.png')
        coco = cvat_file(image, False)
        for entry, method in zip(coco['annotations'], ('threshold', None), strict=False):
            entry |= {'mask_source': 'derived'} | ({'mask_method': method} if method else {})
        x, y, w, h = box = [2, 3, 8, 6]
        rectangle = [x, y, x + w, y, x + w, y + h, x, y + h]
        more = {'mask_source': 'derived', 'mask_method': 'box', 'iscrowd': 1, 'bbox': box, 'segmentation': [rectangle]}
        coco['annotations'].append(coco['annotations'][0] | more | {'id': 90})
        coco['licenses'] = [{'id': 7, 'name': licence, 'url': 'https://example.org'}, {'id': 0, 'name': '', 'url': ''}]
        coco['images'][0] |= {'license': 7, 'clip': f'flight {image}', 'date_captured': '2024-05-01', 'height_m': 80.5}
        coco['images'][0] |= {'split': 'x', 'image': 3, 'counts_file': 'a.tiff', 'page': 0, 'extra': {}, 'empty': ''}
        coco['images'][0]['coco_url'] = 'http://example.org/a.jpg'
        write_json(tmp_path / f'src/annotations/instances_{subset}.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', options=FOUR)
    names = {'a': [('human', 'threshold'), ('car', 'unknown'), ('human', 'box')], 'b': [('bicycle', 'threshold')]}
    expected = Counter(names['a']) + Counter(names['b'])
    for (split, image), number in zip((('train', 'a'), ('val', 'b')), (1, 2), strict=True):
        content = load(tmp_path / 'out', split)
        assert [a['mask_method'] for a in content['annotations']][: len(names[image])] == [m for _, m in names[image]]
        assert {a['mask_source'] for a in content['annotations'] if 'mask_method' in a} == {'derived'}
        last = content['annotations'][-1]
        assert (last['iscrowd'], last['mask_method'], last['area'], last['bbox']) == (1, 'box', 48, [2, 3, 8, 6])
        assert content['licenses'] == [
            {'id': 1, 'name': 'CC0', 'url': 'https://example.org'},
            {'id': 2, 'name': 'MIT', 'url': 'https://example.org'},
        ]
        (entry,) = content['images']
        kept = {'license': number, 'clip': f'flight {image}', 'date_captured': '2024-05-01', 'height_m': 80.5}
        kept |= {'split': 'x', 'image': 3, 'coco_url': 'http://example.org/a.jpg', 'subset': split}
        size = {'width': WIDTH, 'height': HEIGHT}
        assert entry == {'id': number, 'file_name': f'{image}.png', **size, **kept}
    assert expected <= report.methods and not report.boxes_only and not report.lost


def test_cvat_long_ids_as_text_stay_apart(tmp_path):
    """Numbers that no float tells apart; 1_0 is another text than 10."""
    coco = cvat_file('abcd', False)
    ids = dict(zip((1, 2, 3, 4), ('1234567890123456781', '1234567890123456782', '10', '1_0'), strict=True))
    for image in coco['images']:
        write_image(tmp_path / f'src/images/{image["file_name"]}')
        image['id'] = ids[image['id']]
    for annotation in coco['annotations']:
        annotation['image_id'] = ids[annotation['image_id']]
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    content = load(tmp_path / 'out')
    names = {image['id']: image['file_name'] for image in content['images']}
    found = Counter(names[annotation['image_id']] for annotation in content['annotations'])
    assert found == Counter(f'{image}.png' for image, *_ in OBJECTS) and not report.lost


def test_cvat_file_names_that_leave_the_source(tmp_path):
    write_image(tmp_path / 'secret.png')
    write_image(tmp_path / 'src/images/a.png')
    coco = cvat_file('ab', False)
    coco['images'][1]['file_name'] = '../../secret.png'
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', options=FOUR)
    assert len(report.skipped) == 1 and "'../../secret.png', which leads out of it; 2 objects" in report.skipped[0]
    assert report.read.total() == 4 and report.dropped.total() == 2
    with pytest.raises(FileNotFoundError, match='expected annotations/instances_SUBSET.json, .*, found none'):
        convert_cvat_coco(tmp_path / 'src/images', tmp_path / 'other')


NAMES = ['Wärmebild 0.png', 'Wärmebild 1.png']


@pytest.mark.parametrize(
    'spelling',
    [
        urllib.parse.quote,
        lambda name: unicodedata.normalize('NFD', name),
        lambda name: f'images\\{name}',
        lambda name: f'..\\..\\media\\upload\\4\\{name}',
        lambda name: f'/data/local-files/?d=ir/{name}',
        lambda name: f'https://bucket.example/ir/{urllib.parse.quote(name)}?signature=x',
        lambda name: f'C:\\me\\{name}',
        lambda name: f'{name} ',
        str.upper,
        lambda name: name[:-4],
    ],
)
def test_cvat_names_as_tools_write_them(tmp_path, spelling):
    coco = cvat_file('ab', False)
    for image, name in zip(coco['images'], NAMES, strict=True):
        image['file_name'] = spelling(name)
        write_image(tmp_path / 'src/images' / name)
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert [image['file_name'] for image in load(tmp_path / 'out')['images']] == NAMES and not report.lost
    assert any(note.startswith('2 images have another name than their annotations say') for note in report.notes)


def test_cvat_names_that_two_files_may_mean_are_not_guessed(tmp_path):
    """a.png is there once, named twice; b.jpg could be b.png and b.bmp."""
    for name in ('a.png', 'b.png', 'b.bmp'):
        write_image(tmp_path / 'src/images' / name)
    coco = cvat_file('ab', False)
    coco['images'][0]['file_name'], coco['images'][1]['file_name'] = 'x/a.png', 'b.jpg'
    coco['images'].append({**coco['images'][0], 'id': 3, 'file_name': 'y/a.png'})
    coco['images'].append({**coco['images'][0], 'id': 4, 'file_name': 'b.png'})
    coco['annotations'].append({**coco['annotations'][0], 'id': 9, 'image_id': 4})
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert [image['file_name'] for image in load(tmp_path / 'out')['images']] == ['b.png']
    assert len(report.skipped) == 3 and report.lost


def test_cvat_ids_as_tools_write_them(tmp_path):
    coco = cvat_file('a', False)
    for entry in coco['annotations']:
        entry['image_id'], entry['category_id'] = str(entry['image_id']), float(entry['category_id'])
        entry['bbox'] = [str(v) for v in entry['bbox']]
    coco['categories'].insert(0, {'id': 0, 'name': 'objects', 'supercategory': 'none'})  # Roboflow's root
    for category in coco['categories'][1:]:
        category['supercategory'] = 'objects'
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert report.written['all'] == {'person': 1, 'car': 1} and not report.lost
    assert [c['name'] for c in load(tmp_path / 'out')['categories']] == ['dog', 'bike', 'person', 'car']


def test_cvat_holes_that_the_area_shows(tmp_path):
    """BAR without 8 x 4 pixels: 240 - 32; with the area of the whole the inner polygon is no hole."""
    inner = [34, 14, 42, 14, 42, 18, 34, 18]
    coco = cvat_file('a', False)
    entry = {**coco['annotations'][0], 'bbox': [30, 10, 20, 12], 'segmentation': [BAR, inner]}
    coco['annotations'] = [{**entry, 'id': 1, 'area': 208}, {**entry, 'id': 2, 'area': 240}]
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    ring, whole = load(tmp_path / 'out')['annotations']
    assert (ring['area'], whole['area']) == (208, 240)
    np.testing.assert_array_equal(pixels_of(ring), pixels([BAR]) & ~pixels([inner]))
    assert '1 masks have polygons that are holes by their "area"; they were cut out' in report.notes


def test_coco_as_roboflow_lays_it(tmp_path):
    for split, image in (('train', 'a'), ('valid', 'b')):
        write_image(tmp_path / f'src/{split}/{image}.png')
        write_json(tmp_path / f'src/{split}/_annotations.coco.json', cvat_file(image, False))
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert report.images == {'train': 1, 'val': 1} and not report.lost
    assert load(tmp_path / 'out', 'val')['images'][0]['file_name'] == 'valid/b.png'


def test_coco_as_label_studio_lays_it(tmp_path):
    coco = cvat_file('a', False)
    coco['images'][0]['file_name'] = 'images\\a.png'
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/result.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert report.images['all'] == 1 and not report.lost


@pytest.mark.parametrize(
    ('file', 'image', 'split'),
    [
        ('street/annotations/instances.json', 'street/images/a.png', 'all'),  # Supervisely
        ('labels.json', 'data/a.png', 'all'),  # FiftyOne
        ('annotations/val.json', 'images/a.png', 'val'),  # this project
        ('valid/coco_instance_segmentation.json', 'valid/a.png', 'val'),  # X-AnyLabeling, whatever the folder
        ('annotations/scene_train2017.json', 'train/a.png', 'all'),
    ],
)
def test_coco_files_of_other_names(tmp_path, file, image, split):
    coco = cvat_file('a', False)
    write_image(tmp_path / 'src' / image)
    write_json(tmp_path / 'src' / file, coco)
    write_json(tmp_path / 'src/meta.json', {'classes': ['car']})
    if image.startswith('train'):
        coco['images'][0]['file_name'] = image
        write_json(tmp_path / 'src' / file, coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert report.written[split] == {'person': 1, 'car': 1} and not report.lost


def test_coco_parts_come_before_the_whole(tmp_path):
    for name, images in (('all', 'ab'), ('train', 'a'), ('val', 'b')):
        write_json(tmp_path / f'src/annotations/{name}.json', cvat_file(images, False))
    for image in 'ab':
        write_image(tmp_path / f'src/images/{image}.png')
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert report.images == {'train': 1, 'val': 1} and len(report.skipped) == 2


def test_cvat_images_in_subfolders(tmp_path):
    coco = cvat_file('ab', False)
    for image, name in zip(coco['images'], ('night/1/x.png', 'day/1/x.png'), strict=True):
        image['file_name'] = name
        write_image(tmp_path / 'src/images/train' / name)
    write_json(tmp_path / 'src/annotations/instances_train.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    names = [image['file_name'] for image in load(tmp_path / 'out', 'train')['images']]
    assert names == ['train/night/1/x.png', 'train/day/1/x.png'] and not report.lost


def test_cvat_turned_boxes(tmp_path):
    """A box of 20 x 10 about (30, 20), clockwise; the pixels of its derived mask lie along the turned sides."""
    coco = cvat_file('a', False)
    entry = {**coco['annotations'][1], 'bbox': [20, 15, 20, 10], 'segmentation': []}
    just_box = [[20, 15, 40, 15, 40, 25, 20, 25]]
    cases = [
        ({'rotation': 90}, [], [25, 10, 10, 20]),
        ({'rotation': '30.0'}, just_box, [18.8397, 10.6699, 22.3205, 18.6603]),  # 20 cos 30 + 10 sin 30, ...
        ({'rotation': 90}, [BAR], [30, 10, 20, 12]),  # the mask says where the object is
        ({'rotation': 0.0}, [], [20, 15, 20, 10]),
        ({'rotation': 'steep'}, [], None),
    ]
    coco['annotations'] = [
        {**entry, 'id': k, 'attributes': attributes, 'segmentation': segmentation}
        for k, (attributes, segmentation, _) in enumerate(cases)
    ]
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', options=replace(FOUR, derive_masks=True))
    found = {a['source_id']: a for a in load(tmp_path / 'out')['annotations']}
    for k, (_, _, box) in enumerate(cases):
        assert (found[k]['bbox'] if k in found else None) == (box and pytest.approx(box, abs=1e-3))
    angle, (rows, columns) = np.radians(30), np.mgrid[:HEIGHT, :WIDTH] + 0.5
    along = (columns - 30) * np.cos(angle) + (rows - 20) * np.sin(angle)
    across = (rows - 20) * np.cos(angle) - (columns - 30) * np.sin(angle)
    assert (pixels_of(found[1]) ^ ((abs(along) < 10) & (abs(across) < 5))).sum() <= 12
    assert report.dropped == {'car: rotation that is no finite number': 1}
    assert any(note.startswith('2 boxes have a rotation and no mask') for note in report.notes)


def test_coco_images_that_are_not_listed_are_told(tmp_path):
    for name in 'abc':
        write_image(tmp_path / f'src/images/{name}.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', cvat_file('a', False))
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert (
        f'2 images belong to no annotation file and were left out, the first: {tmp_path}/src/images/b.png'
        in report.notes
    )
    assert not report.lost


def test_coco_flags_as_tools_write_them(tmp_path):
    values = ['1', True, '0', 0.0, None, 'crowd']
    coco = cvat_file('a', False)
    coco['annotations'] = [{**coco['annotations'][1], 'id': k, 'iscrowd': v} for k, v in enumerate(values)]
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    found = {a['source_id']: a['iscrowd'] for a in load(tmp_path / 'out')['annotations']}
    assert found == {0: 1, 1: 1, 2: 0, 3: 0, 4: 0}
    assert report.dropped == {'car: iscrowd that is neither 0 nor 1': 1}


def test_coco_outlines_as_tools_write_them(tmp_path):
    """VIA writes a polygon without a list around it, scripts write points; a click too many is a part of no area."""
    points = [L_SHAPE[i : i + 2] for i in range(0, len(L_SHAPE), 2)]
    outlines = [
        L_SHAPE,
        points,
        [points],
        str([L_SHAPE]),
        [L_SHAPE, [1, 2, 3, 4]],
        [L_SHAPE, []],
        [[]],
        [[1, 2, 3, 4]],
    ]
    coco = cvat_file('a', False)
    person = coco['annotations'][0]
    coco['annotations'] = [{**person, 'id': k, 'segmentation': outline} for k, outline in enumerate(outlines)]
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    found = load(tmp_path / 'out')['annotations']
    assert [a['source_id'] for a in found] == list(range(7))
    for a in found[:6]:
        np.testing.assert_array_equal(pixels_of(a), pixels([L_SHAPE]))
    assert (found[6]['segmentation'], found[6]['bbox']) == ([], [10, 5, 10, 20])
    assert any(note.startswith('2 masks have parts of fewer than 3 points') for note in report.notes)
    assert report.dropped == {'person: polygon with fewer than 3 points': 1}


def test_coco_objects_to_ignore(tmp_path):
    """As X-AnyLabeling writes difficult objects; MMDetection would leave them out, evaluation would count them."""
    coco = cvat_file('a', True)
    outline = {**coco['annotations'][1], 'segmentation': [BAR], 'iscrowd': 0}
    entries = [(coco['annotations'][1], 1), (coco['annotations'][1], 0), (outline, 1), (outline, '0'), (outline, 'x')]
    coco['annotations'] = [{**entry, 'id': k, 'ignore': value} for k, (entry, value) in enumerate(entries)]
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    found = {a['source_id']: a['iscrowd'] for a in load(tmp_path / 'out')['annotations']}
    assert found == {0: 1, 1: 0, 2: 1, 3: 0} and report.ignored['all'] == {'car': 2}
    assert report.dropped == {'car: ignore that is neither 0 nor 1': 1}


def test_coco_numbers_that_no_float_holds(tmp_path):
    """Objects with such numbers are counted with their reason; an area like this is of no use, the mask is."""
    huge, inner = 10**400, [34, 14, 42, 14, 42, 18, 34, 18]
    coco = cvat_file('a', False)
    entry = {**coco['annotations'][1], 'segmentation': [BAR]}
    changes = [
        {'segmentation': [], 'bbox': [huge, 1, 5, 5]},
        {'segmentation': [[huge, 1, 5, 5, 9, 9]]},
        {'segmentation': [[10**300, 1, 5, 5, 9, 9], [10**300, 1, 5, 5, 9, 8]]},
        {'segmentation': {'size': [HEIGHT, WIDTH], 'counts': [huge, 1]}},
        {'segmentation': [], 'bbox': [20, 15, 20, 10], 'attributes': {'rotation': huge}},
        {'segmentation': [BAR, inner], 'area': huge},
    ]
    coco['annotations'] = [{**entry, 'id': k, **change} for k, change in enumerate(changes)]
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert [(a['source_id'], a['area']) for a in load(tmp_path / 'out')['annotations']] == [(5, 240)]
    assert report.dropped == {
        'car: box that is not four finite numbers': 1,
        'car: polygon that is not a list of finite numbers': 1,
        'car: polygon that leaves the image by more than its size': 1,
        'car: RLE whose counts are damaged, or no whole numbers from 0 on': 1,
        'car: rotation that is no finite number': 1,
    }


def test_coco_parts_with_a_year(tmp_path):
    """COCO's own names: annotations/instances_train2017.json beside train2017/."""
    for part, image in (('train2017', 'a'), ('val2017', 'b')):
        write_image(tmp_path / f'src/{part}/{image}.png')
        write_json(tmp_path / f'src/annotations/instances_{part}.json', cvat_file(image, False))
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert report.images == {'train': 1, 'val': 1} and not report.lost
    assert load(tmp_path / 'out', 'val')['images'][0]['subset'] == 'val2017'


@pytest.mark.parametrize('name', [None, ['car'], {}, True])
def test_coco_categories_without_a_name(tmp_path, name):
    coco = cvat_file('a', False)
    coco['categories'][1]['name'] = name
    write_image(tmp_path / 'src/images/a.png')
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    with pytest.raises(
        ValueError, match='default.json: 1 entries of "categories" whose name is no text; their ids: 2'
    ):
        convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
