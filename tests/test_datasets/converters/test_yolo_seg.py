"""Converter of YOLO's labels."""

import re

from mmdet_ir.datasets.converters import (
    convert_yolo_seg,
)

import pytest
from hand_made import BAR, FOUR, L_SHAPE, YOLO_NAMES, check, load, write_image, write_yolo, yolo_line


def test_yolo_round_trip(tmp_path):
    write_yolo(tmp_path / 'src')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out', FOUR)
    names = {'a': 'train/a.jpg', 'b': 'train/b.jpg'}
    check(tmp_path / 'out', report, names, off=2, split='train', tolerance=1e-3)


def test_yolo_layouts(tmp_path):
    """Names as numbers, splits as list of names and as list of folders, boxes, images without labels."""
    src = tmp_path / 'src'
    write_yolo(src, 'one')
    write_image(src / 'images/two/c.png')
    (src / 'labels/one/b.txt').write_text('2 0.5 0.5 0.2 0.25\n')
    (src / 'train.txt').write_text('./images/one/a.jpg\n\n../../secret.png\nimages/one/missing.jpg\n')
    names = {str(k): name for k, name in enumerate(YOLO_NAMES)}
    text = 'train: train.txt\nval: [images/two]\ntest: images/one\nnames:\n'
    (src / 'data.yaml').write_text(text + ''.join(f'  {k}: {name}\n' for k, name in names.items()))
    report = convert_yolo_seg(src, tmp_path / 'out', FOUR)
    assert {split: n for split, n in report.images.items() if n} == {'train': 1, 'val': 1, 'test': 1}
    assert report.notes == ['2 images have no label file and were taken as empty']  # c, and the missing one
    assert len(report.skipped) == 3
    assert 'train.txt, line 3: expected a file inside' in report.skipped[0]
    assert 'missing.jpg' in report.skipped[1]
    assert 'the image one/a.jpg has occurred before; 2 objects left out with it' in report.skipped[2]  # test and train
    (box,) = load(tmp_path / 'out', 'test')['annotations']
    assert (box['bbox'], box['segmentation'], box['category_id']) == ([24, 15, 12, 10], [], 1)
    assert load(tmp_path / 'out', 'val')['annotations'] == []


def test_yolo_labels_beside_the_images(tmp_path):
    """train/images and train/labels, which data.yaml calls ../train/images."""
    src = tmp_path / 'src'
    write_image(src / 'train/images/a.1.jpg')
    (src / 'train/labels').mkdir()
    (src / 'train/labels/a.1.txt').write_text(yolo_line('person', L_SHAPE))
    (src / 'data.yaml').write_text('train: ../train/images\nnames: [dog, bike, person, car]\n')
    report = convert_yolo_seg(src, tmp_path / 'out', FOUR)
    assert report.written['train'] == {'human': 1}
    assert load(tmp_path / 'out', 'train')['images'][0]['file_name'] == 'train/images/a.1.jpg'


def test_yolo_rounding_loses_no_thin_target(tmp_path):
    """Six decimals of 7/60 and 8/60 are less than a pixel apart; MMDetection drops boxes under one pixel."""
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/labels/train/a.txt').write_text('2 0.116667 0.25 0.133333 0.25 0.133333 0.5 0.116667 0.5')
    convert_yolo_seg(tmp_path / 'src', tmp_path / 'out', FOUR)
    thin = load(tmp_path / 'out', 'train')['annotations'][0]
    assert (thin['bbox'], thin['area']) == ([7, 10, 1, 10], 10)


def test_yolo_invalid_lines(tmp_path):
    write_yolo(tmp_path / 'src')
    bad = [
        ('9 0.1 0.1 0.2 0.2 0.3 0.3', '(no class): class number that is not in data.yaml'),
        ('-1 0.1 0.1 0.2 0.2 0.3 0.3', '(no class): class number that is not in data.yaml'),
        ('person 0.1 0.1 0.2 0.2 0.3 0.3', '(no class): class that is no whole number'),
        ('2 0.1 0.1 0.2', 'person: line of 3 numbers after the class'),
        ('2 0.1 0.1 0.2 0.2 0.3', 'person: line of 5 numbers after the class'),
        ('2 0.1 0.1 0.2 0.2 0.3 0.3 0.4', 'person: line of 7 numbers after the class'),
        ('2 0.1 0.1 0.2 0.2 0.3 x', 'person: line with something else than numbers'),
        ('2 0.1 0.1 0.2 0.2 0.3 nan', 'person: coordinates that are not between 0 and 1'),
        ('2 10 10 20 20 30 30', 'person: coordinates that are not between 0 and 1'),
        ('2 0.1 0.1 0.1 0.1 0.1 0.1', 'person: mask'),
        ('2 0.5 0.5 0 0.1', 'person: box without width or height'),
    ]
    (tmp_path / 'src/labels/train/a.txt').write_text(
        '\n'.join([yolo_line('person', L_SHAPE), '2 0.9 0.5 1.001 0.5 1.001 0.9', *(line for line, _ in bad)])
    )
    (tmp_path / 'src/labels/train/orphan.txt').write_text('')
    (tmp_path / 'src/labels/train/b.txt').write_bytes(b'\xff\xfe2 0 0')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out', FOUR)
    examples = {entry: key for key, entries in report.examples.items() for entry in entries}
    for number, (_, reason) in enumerate(bad, start=3):
        assert examples[f'{tmp_path / "src/labels/train/a.txt"}, line {number}'].startswith(reason)
    assert report.dropped.total() == len(bad) and report.read.total() == len(bad) + 2
    kept = load(tmp_path / 'out', 'train')['annotations']
    assert [a['bbox'] for a in kept] == [pytest.approx([10, 5, 10, 20], abs=1e-3), [54, 20, 6, 16]]
    assert 'b.txt: expected text in UTF-8' in report.skipped[0]
    assert report.skipped[1].endswith('orphan.txt: no image of any split for this label file')


@pytest.mark.parametrize(
    ('more', 'error', 'message'),
    [
        ({'names': None}, ValueError, 'expected "names" as a list or as numbers with names'),
        ({'names': ['person', ['car']]}, ValueError, 'expected "names" to hold text'),
        ({'train': [['images']]}, ValueError, 'data.yaml, train: expected a file name, got list'),
        ({'names': {'a': 'person'}}, ValueError, 'expected "names" as a list or as numbers with names'),
        ({'train': None}, ValueError, 'expected at least one of train, val and test'),
        (
            {'train': 'images/other'},
            FileNotFoundError,
            'data.yaml: expected a folder or a text file for a split, found none of .images/other. .train.',
        ),
        ({'train': '../../elsewhere'}, ValueError, 'data.yaml, train: expected a file inside .* leads out of it'),
        ({'train': '/etc'}, ValueError, 'data.yaml, train: expected a file name relative to'),
    ],
)
def test_yolo_unsound_data_yaml(tmp_path, more, error, message):
    write_yolo(tmp_path / 'src', **{'path': '.', **more})
    with pytest.raises(error, match=message):
        convert_yolo_seg(tmp_path / 'src', tmp_path / 'out', FOUR)


def test_yolo_yaml_is_data_only(tmp_path):
    write_yolo(tmp_path / 'src')
    for text, message in (('!!python/object/apply:os.system ["exit"]', 'not valid YAML'), ('a: [', 'not valid YAML')):
        (tmp_path / 'src/data.yaml').write_text(text)
        with pytest.raises(ValueError, match=message):
            convert_yolo_seg(tmp_path / 'src', tmp_path / 'out', FOUR)
    (tmp_path / 'src/data.yaml').unlink()
    with pytest.raises(FileNotFoundError, match='data.yaml: no such file'):
        convert_yolo_seg(tmp_path / 'src', tmp_path / 'out', FOUR)


LINES = [yolo_line('person', L_SHAPE), yolo_line('car', BAR)]


@pytest.mark.parametrize(
    'content',
    [
        '\ufeff' + '\n'.join(LINES),
        ('\ufeff' + '\n'.join(LINES)).encode('utf-16-le'),
        '\n'.join(LINES).encode('utf-16-be'),
        '\r\n'.join(LINES),
        '\r'.join(LINES),
        '\n'.join(LINES).replace(' ', '\t'),
        f'{LINES[0]}\n\ufeff{LINES[1]}',  # two files joined
        '\n'.join(f'{line[0]}.0{line[1:]}' for line in LINES),
        '\n'.join(f'{float(line[0]):.18e}{line[1:]}' for line in LINES),
    ],
)
def test_yolo_lines_as_programs_write_them(tmp_path, content):
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/labels/train/a.txt').write_bytes(content if isinstance(content, bytes) else content.encode())
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    found = load(tmp_path / 'out', 'train')
    image = next(image['id'] for image in found['images'] if image['file_name'] == 'train/a.jpg')
    assert [(a['source_class'], a['bbox']) for a in found['annotations'] if a['image_id'] == image] == [
        ('person', pytest.approx([10, 5, 10, 20], abs=0.01)),
        ('car', pytest.approx([30, 10, 20, 12], abs=0.01)),
    ]
    assert not report.lost


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        (LINES[0].replace(' ', ','), 'line with commas'),
        (LINES[0].replace(' ', ', '), 'line with commas'),
        ('1.5 0.1 0.1 0.2 0.2 0.3 0.3', 'class that is no whole number'),
        ('nan 0.1 0.1 0.2 0.2 0.3 0.3', 'class that is no whole number'),
        (f'{LINES[0]} 0.93', 'line of 13 numbers after the class; .*an outline and a confidence'),
        ('2 0.5 0.5 0.1 0.1 0.93', 'line of 5 numbers after the class; .*a box and a confidence'),
    ],
)
def test_yolo_reasons_tell_the_cause(tmp_path, line, reason):
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/labels/train/a.txt').write_text(line)
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert report.lost and any(re.search(reason, key) for key in report.dropped)


@pytest.mark.parametrize('step', [2, 3])
@pytest.mark.parametrize('told', [False, True])
def test_yolo_pose_labels_are_no_outlines(tmp_path, step, told):
    """Boxes of 0.2 x 0.3 around (0.7, 0.6), four keypoints inside; the car's two lines stay a polygon."""
    write_yolo(tmp_path / 'src', **({'kpt_shape': [4, step]} if told else {}))
    points = [(0.65, 0.5), (0.75, 0.5), (0.7, 0.6), (0.7, 0.7)]
    flat = [v for x, y in points for v in ((x, y) if step == 2 else (x, y, 2))]
    line = ' '.join(map(str, [2, 0.7, 0.6, 0.2, 0.3, *flat]))
    for name in 'ab':
        (tmp_path / f'src/labels/train/{name}.txt').write_text(f'{line}\n{line}\n')
    if told:
        (tmp_path / 'src/labels/train/b.txt').write_text(LINES[1])
        report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
        assert report.written['train'] == {'car': 1}
        assert report.dropped == {'person: box and keypoints (a pose label), no outline': 2}
    else:
        with pytest.raises(ValueError, match='4 dropped, the first: person: box and keypoints'):
            convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')


def test_yolo_polygons_are_not_taken_for_pose_labels(tmp_path):
    """Small outlines of four points at the lower right: all points lie in the box that four numbers would be."""
    write_yolo(tmp_path / 'src')
    for k, name in enumerate('ab'):
        x, y = 0.8 + 0.02 * k, 0.75
        corners = [x, y, x + 0.1, y, x + 0.12, y + 0.1, x, y + 0.12]
        (tmp_path / f'src/labels/train/{name}.txt').write_text(
            '2 ' + ' '.join(map(str, corners)) + '\n' + '2 0.8 0.7 0.9 0.7 0.9 0.85 0.8 0.8'
        )
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert report.written['train'] == {'person': 4} and not report.lost


def test_yolo_oriented_boxes_are_told(tmp_path):
    write_yolo(tmp_path / 'src')
    turned = [30, 5, 40, 15, 35, 20, 25, 10]
    for name in 'ab':
        (tmp_path / f'src/labels/train/{name}.txt').write_text(yolo_line('car', turned))
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert any(note.startswith('all 2 outlines are rectangles, upright or turned') for note in report.notes)
    (tmp_path / 'src/labels/train/b.txt').write_text(LINES[0])
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'other')
    assert not any('rectangles' in note for note in report.notes)


@pytest.mark.parametrize(
    'place',
    ['../images/one', '/content/set-1/images/one', 'set-1/images/one', 'images\\one', './images/one/', 'one.txt'],
)
def test_yolo_places_as_tools_write_them(tmp_path, place):
    src = tmp_path / 'src'
    write_yolo(src, 'one', train=place, names={str(k): name for k, name in enumerate(YOLO_NAMES)})
    (src / 'one.txt').write_bytes('\ufeff./images/one/a.jpg\r\n/home/me/set/images/one/b.jpg\r\n'.encode())
    report = convert_yolo_seg(src, tmp_path / 'out')
    assert report.images['train'] == 2 and report.read.total() == 4 and not report.lost


def test_yolo_splits_that_are_not_there(tmp_path):
    """A test part is not needed; a part for training or validation that is missing is a loss."""
    write_yolo(tmp_path / 'src', test='../test/images')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert report.images['train'] == 2 and not report.lost
    assert any("data.yaml, test: '../test/images' is not in" in note for note in report.notes)
    write_yolo(tmp_path / 'src', val='../val/images')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'val')
    assert report.lost and "data.yaml, val: '../val/images' is not in" in report.skipped[0]
    # images/ alone would be all images, not those of a part
    write_yolo(tmp_path / 'src', train='/content/other/images')
    with pytest.raises(ValueError, match='data.yaml, train: expected a file name relative to'):
        convert_yolo_seg(tmp_path / 'src', tmp_path / 'other')


def test_yolo_yaml_of_another_name_and_encoding(tmp_path):
    write_yolo(tmp_path / 'src')
    text = (tmp_path / 'src/data.yaml').read_text()
    (tmp_path / 'src/data.yaml').unlink()
    (tmp_path / 'src/set.yml').write_bytes(('\ufeff' + text).encode('utf-16'))
    (tmp_path / 'src/labels/train/classes.txt').write_text('\n'.join(YOLO_NAMES))  # as labelImg leaves it
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert [c['name'] for c in load(tmp_path / 'out', 'train')['categories']] == YOLO_NAMES
    assert not report.lost
    (tmp_path / 'src/other.yaml').write_text(text)
    with pytest.raises(FileNotFoundError, match=r'data.yaml: no such file; .*which of other.yaml, set.yml is it'):
        convert_yolo_seg(tmp_path / 'src', tmp_path / 'other')


def test_yolo_images_of_a_kind_that_is_not_read(tmp_path):
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/images/train/a.jpg').rename(tmp_path / 'src/images/train/a.webp')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert report.lost and 'a.txt: no image of any split for this label file (a.webp is there' in report.skipped[0]


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        ('[no, on, Yes, off]', ['no', 'on', 'Yes', 'off']),
        ('[1.10, 007, 12:30, 2020-01-01]', ['1.10', '007', '12:30', '2020-01-01']),
        ('{0: true, "1": y, 2: 1_000, 3: "null"}', ['true', 'y', '1_000', 'null']),
    ],
)
def test_yolo_names_as_they_are_written(tmp_path, names, expected):
    """YAML takes words without quotes for truth values, numbers or dates."""
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/data.yaml').write_text(f'train: images/train\nval:\nnames: {names}\n')
    convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert [c['name'] for c in load(tmp_path / 'out', 'train')['categories']] == expected


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'train: images/train\nnames: {0: dog, 1: bike, 1: car}',
            "data.yaml: .*key '1' stands more than once.*line 2",
        ),
        ('train: images/train\nnames:\n  0: dog\n  "0": bike', "data.yaml: .*key '0' stands more than once"),
        ('train: images/train\nnames: {1: dog, 01: bike}', 'data.yaml: expected each number of "names" once'),
        ('train: images/train\nnames: [dog]\ntrain: other', "data.yaml: .*key 'train' stands more than once.*line 1"),
        ('train: images/train\nnames: [dog, null]', 'expected "names" to hold text'),
    ],
)
def test_yolo_keys_that_stand_twice(tmp_path, text, message):
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/data.yaml').write_text(text)
    with pytest.raises(ValueError, match=message):
        convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')


@pytest.mark.parametrize(
    ('lines', 'more', 'tracks', 'told'),
    [
        (['2 0.5 0.5 0.2 0.25 0.9 1', '2 0.5 0.5 0.2 0.25 0.8 0'], '', 2, True),  # nothing but this
        (['2 0.5 0.5 0.2 0.25 0.9 1', '2 0.5 0.5 0.2 0.25 0.9 17'], LINES[0], 2, True),  # 17 is no coordinate
        (['2 0.5 0.5 0.2 0.25 0.9 1'], '2 0.5 0.5 0.2 0.25', 1, True),  # a box elsewhere
        (['2 0.5 0.5 0.2 0.25 0.9 1'], LINES[0], 0, True),  # an outline elsewhere
        (['2 0.5 0.5 0.2 0.25 0.9 1'], '2 0.1 0.1 0.5 0.1 0.1 0.5', 0, True),  # a triangle elsewhere
        (['2 0.1 0.5 0.6 0.25 0.9 1'], '', 0, True),  # a box that would leave the image
        (['2 0.1 0.5 0.6 0.25 0.9 0.5'], '', 0, False),  # ends with no whole number
    ],
)
def test_yolo_lines_of_trackers_and_triangles(tmp_path, lines, more, tracks, told):
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/labels/train/a.txt').write_text('\n'.join(lines))
    (tmp_path / 'src/labels/train/b.txt').write_text(more + '\n2 0.2 0.2 0.1 0.1')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    reason = "person: box, confidence and number of a track (a tracker's), no outline"
    assert report.dropped == ({reason: tracks} if tracks else {})
    note = next((note for note in report.notes if 'end with a whole number' in note), '')
    assert bool(note) == told
    if told:
        kinds = ['triangles', 'a box, a confidence and the number of a track']
        kinds = kinds[::-1] if tracks else kinds
        assert note.startswith(f'{len(lines)} lines of 6 numbers') and 'a.txt, line 1;' in note
        assert note.endswith(f'they are {kinds[0]}, not {kinds[1]}')


def test_yolo_images_that_data_yaml_lists(tmp_path):
    write_yolo(tmp_path / 'src', train=['images/train/a.jpg'], val='images/train/b.jpg')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    assert {k: n for k, n in report.images.items() if n} == {'train': 1, 'val': 1} and not report.lost


@pytest.mark.parametrize(('images', 'labels'), [('Images', 'Labels'), ('images', 'Labels'), ('IMAGES', 'labels')])
def test_yolo_folders_in_upper_and_lower_case(tmp_path, images, labels):
    src = tmp_path / 'src'
    write_yolo(src, train=f'{images}/train')
    (src / 'images').rename(src / images)
    (src / 'labels').rename(src / labels)
    (src / labels / 'train/c.txt').write_text(LINES[0])
    report = convert_yolo_seg(src, tmp_path / 'out')
    assert report.read.total() == 4 and report.images['train'] == 2
    (told,) = report.skipped
    assert told.endswith('c.txt: no image of any split for this label file')


@pytest.mark.parametrize(
    ('image', 'label', 'names', 'more', 'split'),
    [
        ('images/a.png', 'labels/a.txt', 'classes.txt', {'notes.json': '{}'}, 'all'),  # Label Studio
        ('a.png', 'a.txt', 'classes.txt', {}, 'all'),  # labelImg
        (
            'obj_Validation_data/a.png',
            'obj_Validation_data/a.txt',
            'obj.names',  # CVAT's "YOLO 1.1"
            {'obj.data': 'classes = 2', 'Validation.txt': 'data/obj_Validation_data/a.png'},
            'val',
        ),
    ],
)
def test_yolo_names_without_a_yaml_file(tmp_path, image, label, names, more, split):
    """A box of 12 x 8 about the middle of 60 x 40."""
    src = tmp_path / 'src'
    write_image(src / image)
    for path, text in {label: '1 0.5 0.5 0.2 0.2', names: 'bus\ntruck\n\n', **more}.items():
        (src / path).parent.mkdir(parents=True, exist_ok=True)
        (src / path).write_text(text)
    report = convert_yolo_seg(src, tmp_path / 'out')
    coco = load(tmp_path / 'out', split)
    assert [c['name'] for c in coco['categories']] == ['bus', 'truck'] and not report.lost
    assert [(a['category_id'], a['bbox']) for a in coco['annotations']] == [(2, [24, 16, 12, 8])]
