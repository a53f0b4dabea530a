"""Converter of LabelMe's files."""

import base64
import json
from pathlib import Path

from mmdet_ir.datasets.converters import (
    convert_labelme,
)

import cv2
import numpy as np
import pytest
from hand_made import (
    BAR,
    FOUR,
    HEIGHT,
    L_SHAPE,
    TWIN,
    WIDTH,
    check,
    labelme_shapes,
    load,
    pairs,
    pixels_of,
    shape,
    write_image,
    write_json,
    write_labelme,
)


def png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode('.png', mask.astype(np.uint8))[1].tobytes()).decode()


def test_labelme_round_trip(tmp_path):
    src = tmp_path / 'src'
    for image in 'ab':
        write_image(src / f'images/{image}.png', np.uint16)
        write_labelme(src / f'labels/{image}.json', labelme_shapes(image), f'..\\images\\{image}.png')
    report = convert_labelme(src, tmp_path / 'out', FOUR)
    check(tmp_path / 'out', report, {'a': 'a.png', 'b': 'b.png'})
    assert report.notes == [
        '1 objects are made of several shapes of equal label and group_id',
        'the source has no train and val: split annotations/all.json with tools/data/split.py',
    ]


def test_labelme_splits_by_folder(tmp_path):
    for split in ('train', 'valid'):
        write_image(tmp_path / f'src/{split}/a.png')
        write_labelme(tmp_path / f'src/{split}/a.json', labelme_shapes('a'), 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out', FOUR)
    assert report.images == {'train': 1, 'val': 1}
    assert load(tmp_path / 'out', 'val')['images'][0]['file_name'] == 'valid/a.png'
    assert [a['id'] for s in ('train', 'val') for a in load(tmp_path / 'out', s)['annotations']] == [1, 2, 3, 4]


def test_labelme_shapes(tmp_path):
    crop = np.zeros((6, 8), bool)
    crop[:, 2:] = True
    shapes = [
        shape('person', [[20, 25], [10, 5]], 'rectangle'),
        shape('car', [[30, 20], [30, 28]], 'circle'),
        shape('bike', [[3, 4], [10, 9]], 'mask', mask=png(crop)),
        shape('car', [[40, 5], [45, 10], [40, 15], [35, 10]], 'oriented_rectangle'),
        # one object of a mask and a polygon
        shape('drone', [[50, 30], [53, 33]], 'mask', 4, mask=png(np.ones((4, 4)))),
        shape('drone', [[40, 30], [44, 30], [44, 34], [40, 34]], 'polygon', 4),
        # the same group id, another label: another object
        shape('car', [[40, 36], [44, 36], [44, 39], [40, 39]], 'polygon', 4),
    ]
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', shapes, 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out', FOUR)
    person, circle, bike, turned, drone, car = load(tmp_path / 'out')['annotations']
    assert (person['bbox'], person['segmentation'], person['area']) == ([10, 5, 10, 20], [], 200)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    disc = (columns - 30) ** 2 + (rows - 20) ** 2 < 64
    assert (pixels_of(circle) ^ disc).sum() <= 20 and circle['area'] == pytest.approx(64 * np.pi, abs=8)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[4:10, 5:11] = True
    np.testing.assert_array_equal(pixels_of(bike), expected)
    assert (bike['area'], bike['bbox']) == (36, [5, 4, 6, 6])
    assert turned['bbox'] == [35, 5, 10, 10] and turned['area'] == pytest.approx(50, abs=6)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[30:34, 50:54] = expected[30:34, 40:44] = True
    np.testing.assert_array_equal(pixels_of(drone), expected)
    assert (car['area'], car['category_id']) == (12, 2)
    assert report.read == {'person': 1, 'car': 3, 'bike': 1, 'drone': 1} and report.boxes_only == {'human': 1}


@pytest.mark.parametrize(
    ('bad', 'reason'),
    [
        (shape('car', [[1, 1], [5, 5]]), 'polygon with fewer than 3 points'),
        (shape('car', [[1, 1], [5, 5], [5, 'x']]), 'points that are not pairs of finite numbers'),
        (shape('car', None), 'points that are not pairs of finite numbers'),
        (shape('car', [[1, 1]], 'point'), "shape_type 'point', which has no area or is not known"),
        (shape('car', [[1, 1], [5, 5]], 'line'), "shape_type 'line', which has no area or is not known"),
        (shape('car', [[1, 1]], 'circle'), 'circle without two points'),
        (shape('car', [[1, 1]], 'rectangle'), 'rectangle without two or four corners'),
        (shape('car', [[4, 4], [4, 9]], 'rectangle'), 'box without width or height'),
        (shape('car', [[1, 1], [4, 4]], 'mask'), 'mask without an image or without two corners'),
        (shape('car', [[1, 1], [4, 4]], 'mask', mask='%%%'), 'mask that is not a readable image'),
        (shape('car', [[1, 1], [4, 4]], 'mask', mask='aGVsbG8='), 'mask that is not a readable image'),
        (shape('car', [[1, 1], [4, 4]], 'mask', mask=png(np.ones((5, 4)))), 'mask of another size than its corners'),
        (shape('car', [[57, 1], [60, 4]], 'mask', mask=png(np.ones((4, 4)))), 'mask that leaves the image'),
        (shape('car', [[1, 1], [4, 4]], 'mask', mask=png(np.zeros((4, 4)))), 'mask without a pixel'),
        (shape('car', [[1e300, 1], [4, 4], [4, 1]]), 'polygon that leaves the image by more than its size'),
        (shape('car', [[10**400, 1], [4, 4], [4, 1]]), 'points that are not pairs of finite numbers'),
        (shape('car', [[-(10**400), 1], [4, 4]], 'rectangle'), 'points that are not pairs of finite numbers'),
        (shape('car', [[10**300, 1], [4, 4], [4, 1]]), 'polygon that leaves the image by more than its size'),
        ({}, 'shape without a label'),
    ],
)
def test_labelme_invalid_shapes(tmp_path, bad, reason):
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', [shape('person', pairs(L_SHAPE)), bad], 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out', FOUR)
    (key,) = report.dropped
    assert key.startswith(f'{bad.get("label", "(no class)")}: {reason}')
    assert report.examples[key] == [f'{tmp_path / "src/a.json"}, shape 1 (from 0)']
    assert report.read.total() == 2 and len(load(tmp_path / 'out')['annotations']) == 1


def test_labelme_invalid_files(tmp_path):
    src = tmp_path / 'src'
    (tmp_path / 'secret.png').write_bytes(b'secret')
    write_image(src / 'a.png')
    write_labelme(src / '0.json', labelme_shapes('a'), 'a.png')
    write_labelme(src / '1.json', labelme_shapes('a'), '..\\secret.png')
    write_labelme(src / '2.json', labelme_shapes('a'), str(tmp_path / 'secret.png'))
    write_labelme(src / '3.json', labelme_shapes('a'), 'missing.png')
    write_labelme(src / '4.json', labelme_shapes('a'), 'a.png')
    write_image(src / 'c.png', size=(61, 40))
    write_labelme(src / '5.json', labelme_shapes('a'), 'c.png')
    (src / '6.json').write_text('{"shapes": [')
    write_json(src / '7.json', {'images': []})
    (src / '8.json').write_bytes('{"shapes": "é"}'.encode('latin-1'))
    report = convert_labelme(src, tmp_path / 'out', FOUR)
    skipped = {Path(line.split(':')[0].split(',')[0]).name: line for line in report.skipped}
    assert len(report.skipped) == 8
    assert "'..\\\\secret.png', which leads out of it" in skipped['1.json']
    assert 'expected a file name relative to' in skipped['2.json']
    assert 'missing.png; 2 objects left out with it' in ''.join(report.skipped)
    assert 'the image a.png has occurred before; 2 objects' in skipped['4.json']
    assert 'expected width and height (60, 40) as in' in skipped['c.png'] and 'got (61, 40)' in skipped['c.png']
    assert '6.json is not valid JSON' in ''.join(report.skipped)
    assert '8.json: expected text in UTF-8, got the byte 0xe9 at position 12' in ''.join(report.skipped)
    assert 'expected a list "shapes"' in skipped['7.json']
    assert [p.name for p in (tmp_path / 'out/images').iterdir()] == ['a.png']
    assert report.read.total() == len(load(tmp_path / 'out')['annotations']) + report.dropped.total()
    with pytest.raises(FileNotFoundError, match='expected JSON files of LabelMe, found none'):
        convert_labelme(tmp_path / 'out' / 'images', tmp_path / 'other', FOUR)


def test_labelme_shapes_of_its_relatives(tmp_path):
    """X-AnyLabeling's turned rectangles, numbers as text, labels as numbers, a line in a group, sizes as text."""
    bar = pairs(BAR)
    shapes = [
        shape('car', bar, 'rotation', direction=6.15),
        shape('car', [[str(x), str(y)] for x, y in bar]),
        shape(1, bar),
        shape('person', pairs(L_SHAPE), group=3),
        shape('person', [[1, 1], [5, 5]], 'linestrip', 3),
        shape('person', [[1, 1], [5, 5]], 'polygon', 3),
    ]
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', shapes, 'a.png', imageWidth=str(WIDTH), imageHeight=str(HEIGHT))
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    found = load(tmp_path / 'out')['annotations']
    assert [(a['source_class'], a['area']) for a in found] == [('car', 240), ('car', 240), ('1', 240), ('person', 150)]
    assert report.dropped.total() == 2 and report.lost


@pytest.mark.parametrize(
    ('groups', 'objects'),
    [((None, None), 2), (('', ''), 2), ((-1, -1), 2), ((0, 0), 2), ((0, None), 2), ((7, 7), 1), ((7, 8), 2)],
)
def test_labelme_groups(tmp_path, groups, objects):
    """A group of two parts is one object; -1, an empty text and a 0 beside no other group are no groups."""
    shapes = [shape('car', pairs(polygon), group=group) for polygon, group in zip((BAR, TWIN), groups, strict=True)]
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', shapes, 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert sorted(a['area'] for a in load(tmp_path / 'out')['annotations']) == ([276] if objects == 1 else [36, 240])
    assert any('made of several shapes' in note for note in report.notes) == (objects == 1)


def test_labelme_group_zero_is_a_group_where_others_are(tmp_path):
    shapes = [shape('car', pairs(polygon), group=0) for polygon in (BAR, TWIN)]
    shapes.append(shape('car', pairs(L_SHAPE), group=1))
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', shapes, 'a.png')
    convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert [a['area'] for a in load(tmp_path / 'out')['annotations']] == [276, 150]


@pytest.mark.parametrize('added', [None, '', -1, '0'])
def test_labelme_group_zero_is_none_beside_shapes_added_by_hand(tmp_path, added):
    """A tool wrote 0 for all shapes, then a shape without a group was added, in another file."""
    for name, group, polygons in (('a', 0, (BAR, TWIN)), ('b', added, (BAR,))):
        write_image(tmp_path / f'src/{name}.png')
        shapes = [shape('car', pairs(polygon), group=group) for polygon in polygons]
        write_labelme(tmp_path / f'src/{name}.json', shapes, f'{name}.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert len(load(tmp_path / 'out')['annotations']) == 3
    assert 'group_id 0 is taken for no group, because most shapes have it and none has another' in report.notes


def test_labelme_group_zero_is_a_group_among_shapes_without_one(tmp_path):
    """The halves of one car were grouped by hand, and the first number is 0."""
    shapes = [shape('car', pairs(polygon), group=0) for polygon in (BAR, TWIN)]
    shapes += [shape('car', pairs(L_SHAPE)) for _ in range(4)]
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', shapes, 'a.png')
    convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert sorted(a['area'] for a in load(tmp_path / 'out')['annotations']) == [150] * 4 + [276]


@pytest.mark.parametrize(
    'name', ['C:\\Users\\me\\a.png', '/home/me/ir/a.png', '..\\..\\raw\\a.png', 'a.jpg', None, 'A%2Epng', 'other.png']
)
def test_labelme_paths_of_other_machines(tmp_path, name):
    write_image(tmp_path / 'src/set/a.png')
    write_labelme(tmp_path / 'src/set/a.json', labelme_shapes('a'), name)
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert report.read.total() == 2 and not report.lost
    assert any('imagePath' in note and 'set/a.png' in note for note in report.notes)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_labelme_encodings(tmp_path, encoding):
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', [shape('Fußgänger', pairs(BAR))], 'a.png')
    content = json.loads((tmp_path / 'src/a.json').read_text())
    (tmp_path / 'src/a.json').write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert [c['name'] for c in load(tmp_path / 'out')['categories']] == ['Fußgänger']


def test_labelme_images_without_a_file_are_told(tmp_path):
    for name in 'abc':
        write_image(tmp_path / f'src/{name}.png')
    write_labelme(tmp_path / 'src/b.json', labelme_shapes('a'), 'b.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert f'2 images belong to no annotation file and were left out, the first: {tmp_path}/src/a.png' in report.notes
    assert not report.lost


@pytest.mark.parametrize(
    ('kind', 'points', 'area'), [('polygon', pairs(BAR), 276), ('mask', [[30, 10], [49, 21]], 276)]
)
def test_labelme_rectangles_are_parts_of_masks(tmp_path, kind, points, area):
    """BAR of 240 pixels and a rectangle of 36 in one group."""
    more = {'mask': png(np.ones((12, 20)))} if kind == 'mask' else {}
    shapes = [shape('car', points, kind, 3, **more), shape('car', [[36, 34], [30, 28]], 'rectangle', 3)]
    shapes += [shape('car', points, kind, 4, **more), shape('car', [[36, 34], [36, 28]], 'rectangle', 4)]
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', shapes, 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    (found,) = load(tmp_path / 'out')['annotations']
    assert (found['area'], found['bbox']) == (area, [30, 10, 20, 24])
    assert report.dropped == {'car: box without width or height': 1}


@pytest.mark.parametrize('size', [(0, 0), ('0', 0), (None, 0)])
def test_labelme_sizes_that_are_not_known(tmp_path, size):
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', labelme_shapes('a'), 'a.png', imageWidth=size[0], imageHeight=size[1])
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert report.images['all'] == 1 and not report.lost


def test_labelme_difficult_objects_are_ignored_regions(tmp_path):
    """X-AnyLabeling writes the mark for every shape; its VOC files have it as VOC's evaluation means it."""
    points = pairs(BAR)
    shapes = [shape('car', points, difficult=mark) for mark in (True, False, None)]
    shapes += [shape('car', points, group=1), shape('car', pairs(TWIN), group=1, difficult=True)]
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', shapes, 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    assert [a['iscrowd'] for a in load(tmp_path / 'out')['annotations']] == [1, 0, 0, 1]
    assert report.ignored['all'] == {'car': 2} and not report.lost
