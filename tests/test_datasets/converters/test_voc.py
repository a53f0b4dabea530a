"""Converter of Pascal VOC."""

from dataclasses import replace

from mmdet_ir.datasets.converters import (
    convert_voc,
)

import pytest
from hand_made import FOUR, OBJECTS, load, voc_object, write_image, write_voc


@pytest.mark.parametrize('origin', [0, 1])
def test_voc_round_trip(tmp_path, origin):
    src = tmp_path / 'src'
    for image in 'ab':
        objects = []
        for where, name, _, _, (x, y, w, h) in OBJECTS:
            # VOC itself: pixels from 1, the last one included.
            corners = (x + 1, y + 1, x + w, y + h) if origin else (x, y, x + w, y + h)
            objects += [voc_object(name, corners)] if where == image else []
        write_image(src / f'JPEGImages/{image}.jpg')
        write_voc(src / f'Annotations/{image}.xml', objects, f'{image}.jpg')
    (src / 'ImageSets/Main').mkdir(parents=True)
    (src / 'ImageSets/Main/train.txt').write_text('a\n')
    (src / 'ImageSets/Main/val.txt').write_text('b\na\nc\n')
    report = convert_voc(src, tmp_path / 'out', origin, FOUR)
    train, val = load(tmp_path / 'out', 'train'), load(tmp_path / 'out', 'val')
    assert [i['file_name'] for coco in (train, val) for i in coco['images']] == ['a.jpg', 'b.jpg']
    boxes = [
        (a['source_class'], a['bbox'], a['area'], a['segmentation']) for c in (train, val) for a in c['annotations']
    ]
    assert boxes == [(o[1], o[4], o[4][2] * o[4][3], []) for o in OBJECTS[:3]]
    assert report.unmapped == {'dog': 1} and report.boxes_only == {'human': 1, 'car': 1, 'bicycle': 1}
    assert [line.split('Main/')[1] for line in report.skipped] == [
        'val.txt: a is in train already, and stays there',
        'val.txt: c has no XML file',
    ]


def test_voc_beside_the_images_and_difficult_ones(tmp_path):
    write_image(tmp_path / 'src/val/a.png')
    objects = [voc_object('person', (1, 1, 1, 1)), voc_object('car', (5, 5, 9, 9), '<difficult>1</difficult>')]
    write_voc(tmp_path / 'src/val/a.xml', objects, 'a.png', size=(0, 0))
    report = convert_voc(tmp_path / 'src', tmp_path / 'out', options=replace(FOUR, derive_masks=True))
    one, car = load(tmp_path / 'out', 'val')['annotations']
    assert (one['bbox'], one['iscrowd'], one['area']) == ([0, 0, 1, 1], 0, 1)
    assert (car['bbox'], car['iscrowd'], car['mask_method'], car['area']) == ([4, 4, 5, 5], 1, 'oriented_box', 25)
    assert report.ignored['val'] == {'car': 1}


def test_voc_invalid_entries(tmp_path):
    src = tmp_path / 'src'
    write_image(tmp_path / 'secret.png')
    for name in 'acdefg':
        write_image(src / f'{name}.png')
    bad = [
        (voc_object('person', (9, 5, 8, 9)), 'person: box without width or height'),
        (voc_object('person', (9, 5, 'x', 9)), 'person: bndbox without four numbers'),
        ('<object><name>car</name></object>', 'car: bndbox without four numbers'),
        (voc_object('person', (90, 5, 95, 9)), 'person: box outside the image or under 1 pixel'),
        (voc_object('person', ('nan', 5, 95, 9)), 'person: box that is not four finite numbers'),
    ]
    write_voc(src / 'a.xml', [voc_object('car', (3, 3, 9, 9)), *(text for text, _ in bad)], 'a.png')
    write_voc(src / 'b.xml', [voc_object('car', (3, 3, 9, 9))], '../secret.png')
    write_voc(src / 'c.xml', [voc_object('car', (3, 3, 9, 9))], 'c.png', size=(60, 41))
    write_voc(src / 'd.xml', [], 'd.png', size=('wide', 40))
    (src / 'e.xml').write_text('<annotation><filename>e.png</filename>')
    laughs = ''.join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    write_voc(
        src / 'f.xml', [voc_object('&l9;', (3, 3, 9, 9))], 'f.png', head=f'<!DOCTYPE x [<!ENTITY l0 "x">{laughs}]>'
    )
    write_voc(
        src / 'g.xml',
        [voc_object('&x;', (3, 3, 9, 9))],
        'g.png',
        head=f'<!DOCTYPE x [<!ENTITY x SYSTEM "file://{tmp_path}/secret.png">]>',
    )
    write_voc(src / 'h.xml', [], '')
    report = convert_voc(src, tmp_path / 'out', options=FOUR)
    assert report.dropped == {reason: 1 for _, reason in bad} | {
        'car: bndbox without four numbers': 1,
        'car: its image is left out': 1,
    }
    assert [a['bbox'] for a in load(tmp_path / 'out')['annotations']] == [[2, 2, 7, 7]]
    messages = [
        'e.xml: not a readable XML file: no element found',
        'f.xml: not a readable XML file: document type declaration <!DOCTYPE x>',
        'g.xml: not a readable XML file: document type declaration <!DOCTYPE x>',
        'b.xml, filename: expected a file inside',
        'd.xml: expected whole numbers in size/width',
        "h.xml, filename: expected a file name, got ''",
        'c.png: expected width and height (60, 41) as in',
    ]
    assert len(report.skipped) == len(messages)
    for message, line in zip(messages, report.skipped, strict=True):
        assert message in line
    with pytest.raises(ValueError, match='expected an origin of 0 or 1, got 2'):
        convert_voc(src, tmp_path / 'other', 2)
    with pytest.raises(FileNotFoundError, match='expected Annotations/'):
        convert_voc(tmp_path / 'out', tmp_path / 'other')


@pytest.mark.parametrize(
    'name',
    [
        'a{}',
        'a{}.png',
        'A{}.JPG',
        'D:\\data\\ir\\2020_{}.jpg',
        'a0.jpg',
        '',
        'JPEGImages/a{}.jpg',
        ' a{}.jpg ',
        'x%20y/a{}.jpg',
    ],
)
@pytest.mark.parametrize('folders', [('Annotations', 'JPEGImages'), ('.', '.'), ('trainlabel', 'trainimg')])
def test_voc_names_that_are_of_no_use(tmp_path, name, folders):
    """An image is the one that its XML file is named after, where the name inside leads nowhere."""
    for k in range(3):
        write_image(tmp_path / f'src/{folders[1]}/a{k}.jpg')
        write_voc(tmp_path / f'src/{folders[0]}/a{k}.xml', [voc_object('car', (1 + k, 1, 9, 9))], name.format(k))
    report = convert_voc(tmp_path / 'src', tmp_path / 'out')
    coco = load(tmp_path / 'out')
    left = {image['file_name'][-6:]: image['id'] for image in coco['images']}
    found = {a['image_id']: a['bbox'][0] for a in coco['annotations']}
    assert {name: found[i] for name, i in left.items()} == {'a0.jpg': 0, 'a1.jpg': 1, 'a2.jpg': 2}
    assert not report.lost


@pytest.mark.parametrize(
    ('head', 'encoding'),
    [
        ('<?xml version="1.0" encoding="GBK"?>', 'gbk'),
        ('<?xml version="1.0" encoding="ISO-8859-15"?>', 'iso-8859-15'),
        ('<?xml version="1.0" encoding="utf-8"?>', 'utf-8-sig'),
        ('<?xml version="1.0" encoding="UTF-16"?>', 'utf-16'),
        ('', 'utf-16'),
        ('<!DOCTYPE annotation>', 'utf-8'),
        ('\n <?xml version="1.0"?>', 'utf-8'),
    ],
)
def test_voc_encodings(tmp_path, head, encoding):
    label = '行人' if encoding == 'gbk' else 'vélo'
    write_image(tmp_path / 'src/a.png')
    write_voc(tmp_path / 'src/a.xml', [voc_object(label, (3, 3, 9, 9))], 'a.png', head=head)
    path = tmp_path / 'src/a.xml'
    path.write_bytes(path.read_text(encoding='utf-8').encode(encoding))
    convert_voc(tmp_path / 'src', tmp_path / 'out')
    assert [c['name'] for c in load(tmp_path / 'out')['categories']] == [label]


def test_voc_lists_as_programs_write_them(tmp_path):
    src = tmp_path / 'src'
    for name in ('a', 'b 1', 'c'):
        write_image(src / f'JPEGImages/{name}.jpg')
        write_voc(src / f'Annotations/{name}.xml', [voc_object('car', (3, 3, 9, 9))], f'{name}.jpg')
    (src / 'ImageSets/Main').mkdir(parents=True)
    (src / 'ImageSets/Main/train.txt').write_bytes('\ufeffa.jpg\r\nb 1\r\n'.encode())
    (src / 'ImageSets/Main/val.txt').write_bytes('c  1\n'.encode('utf-16'))
    report = convert_voc(src, tmp_path / 'out')
    assert {k: n for k, n in report.images.items() if n} == {'train': 2, 'val': 1} and not report.lost


def test_voc_polygons_and_turned_boxes(tmp_path):
    """Points are pixels' middles from 1 on: the polygon 10.5 ... 20.5 covers the pixels 10 to 19 from 0."""
    corners = [(10.5, 5.5), (20.5, 5.5), (20.5, 25.5), (15, 30), (10.5, 25.5)]
    points = ''.join(f'<x{i}>{x}</x{i}><y{i}>{y}</y{i}>' for i, (x, y) in enumerate(corners, start=1))
    turned = '<robndbox><cx>40.5</cx><cy>20.5</cy><w>20</w><h>10</h><angle>1.5707963</angle></robndbox>'
    objects = [
        f'<object><name>car</name><polygon>{points}</polygon></object>',
        f'<object><name>person</name>{turned}</object>',
        '<object><name>car</name><polygon><x1>1</x1><y1>2</y1></polygon></object>',
    ]
    write_image(tmp_path / 'src/a.png')
    write_voc(tmp_path / 'src/a.xml', objects, 'a.png')
    report = convert_voc(tmp_path / 'src', tmp_path / 'out')
    car, person = load(tmp_path / 'out')['annotations']
    assert car['segmentation'] == [[10, 5, 20, 5, 20, 25, 14.5, 29.5, 10, 25]]
    assert person['bbox'] == pytest.approx([35, 10, 10, 20], abs=1e-4) and person['segmentation'] == []
    assert report.dropped == {'car: polygon with fewer than 3 points': 1} and report.lost


def test_voc_rotation_of_cvat(tmp_path):
    """A box of 20 x 10 about (30, 20), turned by a quarter; the polygon beside the same attribute stays."""
    rotation = '<attributes><attribute><name>rotation</name><value>{}</value></attribute></attributes>'
    points = '<x1>1</x1><y1>1</y1><x2>9</x2><y2>1</y2><x3>9</x3><y3>9</y3>'
    objects = [
        voc_object('car', (20, 15, 40, 25), rotation.format('90.0')),
        voc_object('car', (20, 15, 40, 25), f'{rotation.format(90)}<polygon>{points}</polygon>'),
        voc_object('car', (20, 15, 40, 25), rotation.format('steep')),
    ]
    write_image(tmp_path / 'src/a.png')
    write_voc(tmp_path / 'src/a.xml', objects, 'a.png')
    report = convert_voc(tmp_path / 'src', tmp_path / 'out', 0)
    assert [a['bbox'] for a in load(tmp_path / 'out')['annotations']] == [
        pytest.approx([25, 10, 10, 20]),
        [1, 1, 8, 8],
    ]
    assert report.dropped == {'car: rotation that is no finite number': 1}


def polygon(*numbers: str) -> str:
    """The corners of a rectangle of 10 x 20 pixels at (10, 5), with these numbers, from 0 on."""
    corners = [(10, 5), (20, 5), (20, 25), (10, 25)]
    points = ''.join(f'<x{n}>{x}</x{n}><y{n}>{y}</y{n}>' for n, (x, y) in zip(numbers, corners, strict=True))
    return f'<polygon>{points}</polygon>'


def test_voc_objects_lose_no_part(tmp_path):
    """All polygons of an object and all their points are read; an object that has a part too many is told."""
    second = polygon(*'1234').replace('>1', '>3').replace('>20<', '>40<')  # the x from 30 to 40, the y of x1 = 5
    gap = 'polygon whose points are not x1, y1, x2, y2, ... without a gap, each once'
    box = '<bndbox><xmin>5</xmin><ymin>3</ymin><xmax>12</xmax><ymax>20</ymax></bndbox>'
    cases = [
        (polygon(*'1234') + second, 400),
        (polygon(*'0123'), 200),
        (polygon('1', '2', '4', '5'), gap),
        (polygon('2', '3', '4', '5'), gap),
        (polygon('1', '2', '3', '3'), gap),
        (polygon(*'1234').replace('<y4>25</y4>', ''), gap),
        (box + box, 'object with more than one bndbox'),
        (box + '<name>person</name>', 'object with more than one name'),
    ]
    write_image(tmp_path / 'src/a.png')
    objects = [f'<object><name>car</name>{text}</object>' for text, _ in cases]
    write_voc(tmp_path / 'src/a.xml', objects, 'a.png')
    report = convert_voc(tmp_path / 'src', tmp_path / 'out', 0)
    assert [a['area'] for a in load(tmp_path / 'out')['annotations']] == [400, 200]
    told = [reason for _, reason in cases if isinstance(reason, str)]
    assert report.dropped == {f'car: {reason}': told.count(reason) for reason in told}


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('<annotation>', '<annotation xmlns="http://example.org/voc">'),
        ('<object>', '<objects><object>'),
        ('<annotation>', '<annotations><annotation>'),
        ('annotation>', 'annotations>'),
        ('object>', 'Object>'),
    ],
)
def test_voc_objects_wherever_they_are(tmp_path, old, new):
    write_image(tmp_path / 'src/a.png')
    write_voc(tmp_path / 'src/a.xml', [voc_object('car', (5, 5, 9, 9))], 'a.png')
    path = tmp_path / 'src/a.xml'
    text = path.read_text().replace(old, new)
    for name in ('object', 'annotation'):
        text = text.replace(f'</{name}>', f'</{name}></{name}s>') if f'<{name}s>' in text and new[0] == '<' else text
    path.write_text(text)
    convert_voc(tmp_path / 'src', tmp_path / 'out', 0)
    assert [a['bbox'] for a in load(tmp_path / 'out')['annotations']] == [[5, 5, 4, 4]]


def test_voc_files_of_another_kind_are_told(tmp_path):
    """A file without an annotation, with two of them, or with a box in no object is no image without objects."""
    src = tmp_path / 'src'
    for name in 'abcd':
        write_image(src / f'{name}.png')
        write_voc(src / f'{name}.xml', [voc_object('car', (5, 5, 9, 9))], f'{name}.png')
    text = (src / 'a.xml').read_text()
    (src / 'b.xml').write_text('<settings><filename>b.png</filename></settings>')
    (src / 'c.xml').write_text(f'<annotations>{text}{text}</annotations>')
    (src / 'd.xml').write_text((src / 'd.xml').read_text().replace('object>', 'item>'))
    report = convert_voc(src, tmp_path / 'out', 0)
    assert [image['file_name'] for image in load(tmp_path / 'out')['images']] == ['a.png'] and len(report.skipped) == 3
    messages = (
        'b.xml: expected an annotation as VOC has it, got <settings>',
        'c.xml: expected one annotation, got 2',
        'd.xml: expected every bndbox, robndbox and polygon in an object, got a bndbox outside',
    )
    for message, line in zip(messages, report.skipped, strict=True):
        assert message in line


@pytest.mark.parametrize('name', ['a.png', '{}/a.png', 'x/a.png'])
def test_voc_in_subfolders(tmp_path, name):
    """Images of equal names are told apart by the folder of their XML files, in lists as well."""
    src = tmp_path / 'src'
    write_image(src / 'JPEGImages/a.png')
    for x, folder in ((5, 'day'), (15, 'night')):
        write_image(src / f'JPEGImages/{folder}/a.png')
        write_voc(src / f'Annotations/{folder}/a.xml', [voc_object('car', (x, 5, x + 4, 9))], name.format(folder))
    (src / 'ImageSets/Main').mkdir(parents=True)
    (src / 'ImageSets/Main/train.txt').write_text('day/a\n')
    (src / 'ImageSets/Main/val.txt').write_text('night/a.png\na\n')
    report = convert_voc(src, tmp_path / 'out', 0)
    for split, file, x in (('train', 'day/a.png', 5), ('val', 'night/a.png', 15)):
        coco = load(tmp_path / 'out', split)
        assert [image['file_name'] for image in coco['images']] == [file]
        assert [a['bbox'][0] for a in coco['annotations']] == [x]
    (told,) = report.skipped
    assert told.endswith('val.txt: a has 2 XML files in different folders')
    assert (
        f'1 images belong to no annotation file and were left out, the first: {src}/JPEGImages/a.png' in report.notes
    )


def test_voc_lists_of_segmentation(tmp_path):
    """The lists for segmentation make the splits where there are no others; masks beside them are no images."""
    src = tmp_path / 'src'
    for name, split in (('a', 'train'), ('b', 'val')):
        write_image(src / f'JPEGImages/{name}.jpg')
        write_image(src / f'SegmentationObject/{name}.png')
        write_voc(src / f'Annotations/{name}.xml', [voc_object('car', (3, 3, 9, 9))], f'{name}.jpg')
        (src / 'ImageSets/Segmentation').mkdir(parents=True, exist_ok=True)
        (src / f'ImageSets/Segmentation/{split}.txt').write_text(f'{name}\n')
    report = convert_voc(src, tmp_path / 'out')
    assert report.images == {'train': 1, 'val': 1} and not report.lost and not report.notes


def test_voc_difficult_as_programs_write_it(tmp_path):
    words = ['true', 'True', ' 1 ', 'false', '', '0', 'Unspecified', '2']
    objects = [voc_object('car', (k, 5, k + 4, 9), f'<difficult>{word}</difficult>') for k, word in enumerate(words)]
    write_image(tmp_path / 'src/a.png')
    write_voc(tmp_path / 'src/a.xml', objects, 'a.png')
    report = convert_voc(tmp_path / 'src', tmp_path / 'out', 0)
    found = {a['bbox'][0]: a['iscrowd'] for a in load(tmp_path / 'out')['annotations']}
    assert found == {0: 1, 1: 1, 2: 1, 3: 0, 4: 0, 5: 0, 6: 0}
    assert report.dropped == {'car: difficult that is neither 0 nor 1': 1}
