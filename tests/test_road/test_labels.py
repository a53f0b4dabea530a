"""Label files as other programs write them: converted right, or told; never less than there was without a word."""

import json
import shutil
import unicodedata
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from pycocotools import mask as mask_utils
from road import HEIGHT, WIDTH, class_counts, coco, grey, put, rectangle, write_set

POLYGON = [0.1, 0.2, 0.3, 0.2, 0.3, 0.6, 0.1, 0.6]
TRUTH = {'person': 2, 'car': 2}


def yolo_line(label: object, values: list[float], separator: str = ' ') -> str:
    return separator.join([str(label), *(f'{value:.6f}' for value in values)])


def yolo_body(first: object, second: object, values: list[float] = POLYGON, separator: str = ' ') -> str:
    return f'{yolo_line(first, values, separator)}\n{yolo_line(second, values, separator)}\n'


def write_yolo(root: Path, body: bytes, extra: str = '') -> Path:
    """Two images with a person and a car each."""
    for number in range(2):
        put(root / 'images' / 'train' / f'a{number}.png', grey(number))
        put(root / 'labels' / 'train' / f'a{number}.txt', body)
    put(root / 'data.yaml', f'train: images/train\nnames: [person, car]\n{extra}')
    return root


SAVETXT = '\n'.join(' '.join(f'{value:.18e}' for value in [label, *POLYGON]) for label in (0, 1))
READABLE = {
    'plain': yolo_body(0, 1).encode(),
    'numpy-savetxt': SAVETXT.encode(),
    'classes as floats': yolo_body('0.0', '1.0').encode(),
    'byte-order mark': b'\xef\xbb\xbf' + yolo_body(0, 1).encode(),
    'Windows line ends': yolo_body(0, 1).replace('\n', '\r\n').encode(),
    'old Mac line ends': yolo_body(0, 1).replace('\n', '\r').encode(),
    'tabs': yolo_body(0, 1, separator='\t').encode(),
    'blank lines': ('  \n' + yolo_body(0, 1).replace('\n', '  \n\n')).encode(),
    'closed polygon': yolo_body(0, 1, POLYGON + POLYGON[:2]).encode(),
    'no line end': yolo_body(0, 1).rstrip('\n').encode(),
}
DOUBTFUL = {
    'commas': yolo_body(0, 1, separator=',').encode(),
    'UTF-16': yolo_body(0, 1).encode('utf-16'),
    'names': yolo_body('person', 'car').encode(),
    'a score at the end': yolo_body(0, 1, [*POLYGON, 0.9]).encode(),
    'boxes with a score': yolo_body(0, 1, [0.2, 0.4, 0.2, 0.4, 0.9]).encode(),
    'class of -1': yolo_body(-1, 1).encode(),
    'class of 0.5': yolo_body(0.5, 1).encode(),
    'not a number': yolo_body(0, 1, [*POLYGON[:-1], float('nan')]).encode(),
    'pixels': yolo_body(0, 1, [10, 12, 30, 12, 30, 38, 10, 38]).encode(),
}


@pytest.mark.parametrize('form', READABLE)
def test_yolo_lines_that_can_be_read(tool: Callable, tmp_path: Path, form: str) -> None:
    root = write_yolo(tmp_path / 'set', READABLE[form])
    tool('data/convert.py', 'yolo-seg', root, tmp_path / 'out').went_well()
    assert class_counts(tmp_path / 'out') == TRUTH


@pytest.mark.parametrize('form', DOUBTFUL)
def test_yolo_lines_that_may_mean_something_else(tool: Callable, tmp_path: Path, form: str) -> None:
    root = write_yolo(tmp_path / 'set', DOUBTFUL[form])
    done = tool('data/convert.py', 'yolo-seg', root, tmp_path / 'out')
    if done.code:
        done.told(r'a[01]\.txt')
    else:
        assert class_counts(tmp_path / 'out') == TRUTH


def test_yolo_poses_do_not_become_polygons(tool: Callable, tmp_path: Path) -> None:
    pose = yolo_body(0, 0, [0.2, 0.4, 0.2, 0.4, 0.15, 0.3, 0.25, 0.3, 0.2, 0.5])
    root = write_yolo(tmp_path / 'set', pose.encode(), 'kpt_shape: [3, 2]\n')
    done = tool('data/convert.py', 'yolo-seg', root, tmp_path / 'out')
    if not done.code:  # the box of a pose, 0.1 to 0.3 by 0.2 to 0.6
        content = json.loads((tmp_path / 'out' / 'annotations' / 'train.json').read_text())
        for annotation in content['annotations']:
            assert annotation['bbox'] == pytest.approx([0.1 * WIDTH, 0.2 * HEIGHT, 0.2 * WIDTH, 0.4 * HEIGHT], abs=1)
    else:
        done.told('pose|keypoint|kpt_shape')


@pytest.mark.parametrize(
    ('yaml', 'said'),
    [
        ('train: images/train\nval: images/val\ntest: images/test\nnames: [person, car]\n', 'test'),
        ('train: ../images/train\nval: ../images/val\nnames: [person, car]\n', ''),
        ('path: ../elsewhere\ntrain: images/train\nval: images/val\ntest:\nnames: [person, car]\n', ''),
        ('path: .\ntrain: images\\train\nval: images\\val\nnames: {"0": person, "1": car}\n', ''),
        ('\ufefftrain: images/train\r\nval: images/val\r\nnames:\r\n  0: person\r\n  1: car\r\n', ''),
    ],
    ids=['a part that is not there', 'one folder up', 'another place', 'Windows paths', 'byte-order mark'],
)
def test_yolo_descriptions(tool: Callable, tmp_path: Path, yaml: str, said: str) -> None:
    root = write_yolo(tmp_path / 'set', READABLE['plain'])
    for kind in ('images', 'labels'):
        shutil.copytree(root / kind / 'train', root / kind / 'val')
    put(root / 'data.yaml', yaml)
    done = tool('data/convert.py', 'yolo-seg', root, tmp_path / 'out').said(said)
    if not done.code or said:
        assert class_counts(tmp_path / 'out') == {'person': 4, 'car': 4}
    else:
        done.told(r'data\.yaml')


def shape(points: list, label: str = 'car', kind: str = 'polygon', **others: object) -> dict:
    return {'label': label, 'points': points, 'group_id': None, 'shape_type': kind, 'flags': {}} | others


FIRST, SECOND = [[10, 10], [30, 10], [30, 40], [10, 40]], [[50, 10], [70, 10], [70, 40], [50, 40]]
LABELME = {
    'plain': [shape(FIRST), shape(SECOND)],
    'rotated boxes': [shape(FIRST, kind='rotation', direction=6.15), shape(SECOND)],
    'groups that are empty texts': [shape(FIRST, group_id=''), shape(SECOND, group_id='')],
    'points of text': [shape([[str(x), str(y)] for x, y in FIRST]), shape(SECOND)],
    'old version': [{'label': 'car', 'line_color': None, 'points': points} for points in (FIRST, SECOND)],
    'a rectangle of four corners': [shape(FIRST, kind='rectangle'), shape(SECOND)],
}


def labelme(shapes: list[dict], image: object, **others: object) -> dict:
    size = {'imageWidth': WIDTH, 'imageHeight': HEIGHT}
    return {'version': '5.5.0', 'flags': {}, 'shapes': shapes, 'imagePath': image, 'imageData': None} | size | others


@pytest.mark.parametrize('form', LABELME)
def test_labelme_shapes(tool: Callable, tmp_path: Path, form: str) -> None:
    for number in range(2):
        put(tmp_path / 'set' / f'a{number}.png', grey(number))
        put(tmp_path / 'set' / f'a{number}.json', labelme(LABELME[form], f'a{number}.png'))
    done = tool('data/convert.py', 'labelme', tmp_path / 'set', tmp_path / 'out')
    if done.code:
        done.told(r'a0\.json')
    else:
        assert class_counts(tmp_path / 'out') == {'car': 4}


@pytest.mark.parametrize(
    ('place', 'size'),
    [
        ('C:\\Users\\me\\ir\\{}', {}),
        ('/mnt/disk/ir/{}', {}),
        ('..\\..\\raw\\{}', {}),
        (None, {}),
        ('{}', {'imageWidth': None, 'imageHeight': None}),
        ('{}', {'imageWidth': str(WIDTH), 'imageHeight': str(HEIGHT)}),
    ],
    ids=['Windows path', 'absolute path', 'path elsewhere', 'no path', 'no size', 'size of text'],
)
def test_labelme_paths_and_sizes(tool: Callable, tmp_path: Path, place: str | None, size: dict) -> None:
    for number in range(2):
        name = f'a{number}.png'
        put(tmp_path / 'set' / name, grey(number))
        document = labelme(LABELME['plain'], place and place.format(name), **size)
        put(tmp_path / 'set' / f'a{number}.json', document)
    done = tool('data/convert.py', 'labelme', tmp_path / 'set', tmp_path / 'out')
    if done.code:
        done.told(r'a0\.(json|png)')
    else:
        assert class_counts(tmp_path / 'out') == {'car': 4}


BOX = '<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>'
SIZE = '<size><width>96</width><height>64</height><depth>1</depth></size>'


def voc(name: str, size: str = SIZE, head: str = '') -> str:
    target = f'<object><name>car</name><difficult>0</difficult>{BOX}</object>'
    return f'{head}<annotation>{name}{size}{target}</annotation>'


@pytest.mark.parametrize(
    'write',
    [
        lambda i: voc(f'<filename>a{i}.png</filename>'),
        lambda i: voc(f'<filename>a{i}</filename>'),
        lambda i: voc(f'<filename>a{i}.PNG</filename>'),
        lambda i: voc(f'<filename>D:\\ir\\{i}.png</filename>'),
        lambda i: voc('<filename>a0.png</filename>'),
        lambda i: voc(''),
        lambda i: '\ufeff' + voc(f'<filename>a{i}.png</filename>'),
        lambda i: voc(f'<filename>a{i}.png</filename>', SIZE.replace('96', '96.0')),
        lambda i: voc(f'<filename>a{i}.png</filename>', SIZE.replace('96', '0').replace('64', '0')),
        lambda i: voc(f'<filename>a{i}.png</filename>', head='<?xml version="1.0" encoding="GBK"?>'),
    ],
    ids=['plain', 'no suffix', 'upper case', 'Windows path', 'same name', 'no name', 'mark', 'floats', 'zero', 'GBK'],
)
def test_voc_names_and_sizes(tool: Callable, tmp_path: Path, write: Callable[[int], str]) -> None:
    for number in range(3):
        put(tmp_path / 'set' / 'JPEGImages' / f'a{number}.png', grey(number))
        put(tmp_path / 'set' / 'Annotations' / f'a{number}.xml', write(number))
    done = tool('data/convert.py', 'voc', tmp_path / 'set', tmp_path / 'out')
    if done.code:
        done.told(r'a[0-2]\.xml')
    else:
        assert class_counts(tmp_path / 'out') == {'car': 3}


def test_the_sources_own_names_stay_and_nothing_is_dropped_unasked(tool: Callable, tmp_path: Path) -> None:
    for number, label in enumerate(['person', 'vehicle', 'vehicle', 'Hot engine']):
        put(tmp_path / 'set' / f'a{number}.png', grey(number))
        put(tmp_path / 'set' / f'a{number}.json', labelme([shape(FIRST, label)], f'a{number}.png'))
    tool('data/convert.py', 'labelme', tmp_path / 'set', tmp_path / 'all').went_well()
    assert class_counts(tmp_path / 'all') == {'person': 1, 'vehicle': 2, 'Hot engine': 1}
    done = tool('data/convert.py', 'labelme', tmp_path / 'set', tmp_path / 'some', '--classes', 'human=person')
    done.went_well('left out', 'vehicle 2', 'Hot engine 1')  # (asked for, and told)
    assert class_counts(tmp_path / 'some') == {'human': 1}


NAME = 'Wärmebild {} 热像.png'


@pytest.mark.parametrize(
    'spelling',
    [
        lambda name: name,
        urllib.parse.quote,
        lambda name: unicodedata.normalize('NFD', name),
        lambda name: f'sub\\{name}',
        lambda name: name.upper(),
        lambda name: f'./{name}',
    ],
    ids=['same', 'percent', 'decomposed', 'backslash', 'upper case', 'dot'],
)
def test_names_of_images(tool: Callable, tmp_path: Path, spelling: Callable[[str], str]) -> None:
    content = coco(3)
    for number, image in enumerate(content['images']):
        image['file_name'] = NAME.format(number)
    root = write_set(tmp_path / 'set', content)
    for image in content['images']:
        image['file_name'] = spelling(image['file_name'])
    file = put(root / 'annotations' / 'train.json', content)
    done = tool('data/validate.py', file)
    done.said('') if content['images'][0]['file_name'] == NAME.format(0) else done.said(
        'Wärmebild|W%C3%A4rmebild|WÄRME'
    )
    assert done.code == 2 or ' 0 errors' in done.text, done.text


def test_overlaps_and_holes_keep_the_area_of_the_mask(tool: Callable, tmp_path: Path) -> None:
    """Two parts that overlap have the area of their union, which is pycocotools' merge."""
    content = coco(2, targets=1)
    for annotation in content['annotations']:
        annotation['segmentation'] = [rectangle(10, 10, 16, 20), rectangle(10, 18, 16, 20)]
        annotation['bbox'] = [10, 10, 16, 28]
        parts = mask_utils.frPyObjects(annotation['segmentation'], HEIGHT, WIDTH)
        annotation['area'] = int(mask_utils.area(mask_utils.merge(parts)))
        assert annotation['area'] == 16 * 28
    root = write_set(tmp_path / 'set', content)
    fixed = tmp_path / 'fixed.json'
    done = tool('data/validate.py', root / 'annotations' / 'train.json', '--fix', fixed).said('')
    assert 'mask-area' not in done.text, done.text
    if fixed.exists():
        assert {a['area'] for a in json.loads(fixed.read_text())['annotations']} == {16 * 28}


def test_a_hole_is_told_and_its_area_kept(tool: Callable, tmp_path: Path) -> None:
    content = coco(2, targets=1)
    for annotation in content['annotations']:
        annotation.update(bbox=[10, 10, 16, 28], area=16 * 28 - 8 * 20)
        annotation['segmentation'] = [rectangle(10, 10, 16, 28), rectangle(14, 14, 8, 20)]
    root = write_set(tmp_path / 'set', content)
    fixed = tmp_path / 'fixed.json'
    done = tool('data/validate.py', root / 'annotations' / 'train.json', '--fix', fixed).said('hole')
    if fixed.exists() and {a['area'] for a in json.loads(fixed.read_text())['annotations']} != {16 * 28 - 8 * 20}:
        done.said('area')


@pytest.mark.parametrize(
    'change',
    [
        lambda image: f'img-{image}',
        lambda image: -image,
        lambda image: 2**40 + image,
        lambda image: float(image),
    ],
    ids=['text', 'negative', 'large', 'float'],
)
@pytest.mark.parametrize('of', ['images', 'categories', 'annotations'])
def test_ids_are_scored_or_refused(tool: Callable, tmp_path: Path, change: Callable, of: str) -> None:
    """A set with odd ids scores as the same set with plain ids, in both backends, or is refused by the validator."""
    content, plain = coco(2), coco(2)
    for entry in content[of]:
        entry['id'] = change(entry['id'])
    for annotation in content['annotations']:
        if of == 'images':
            annotation['image_id'] = change(annotation['image_id'])
        elif of == 'categories':
            annotation['category_id'] = change(annotation['category_id'])
    root = write_set(tmp_path / 'set', content)
    file = root / 'annotations' / 'val.json'
    if tool('data/validate.py', file).said('').code == 2:
        return
    scores = []
    for part, where in ((content, root), (plain, write_set(tmp_path / 'plain', plain))):
        found = [
            {
                'image_id': a['image_id'],
                'category_id': a['category_id'],
                'score': 0.9 - 0.01 * number,
                'segmentation': mask_utils.frPyObjects(a['segmentation'], HEIGHT, WIDTH)[0],
            }
            for number, a in enumerate(part['annotations'][:-2])
        ]
        for detection in found:
            detection['segmentation'] = {
                **detection['segmentation'],
                'counts': detection['segmentation']['counts'].decode(),
            }
        detections = put(where / 'found.segm.json', json.dumps(found))
        out = where / 'measures.json'
        tool('analysis/measure.py', where / 'annotations' / 'val.json', detections, '--out', out).went_well()
        scores.append(json.loads(out.read_text()))
    assert json.dumps(scores[0], sort_keys=True).count('"mAP"') == json.dumps(scores[1], sort_keys=True).count('"mAP"')
    assert _numbers(scores[0]) == _numbers(scores[1])


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for key in sorted(value) if key != 'settings' for number in _numbers(value[key])]
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [round(value, 9)] if isinstance(value, float) else []


@pytest.mark.parametrize('licenses', [None, [], [{'id': 0, 'name': 'CC BY 4.0'}], 'CC0'])
def test_merging_takes_licences_as_they_come(tool: Callable, tmp_path: Path, licenses: object) -> None:
    roots = []
    for name in ('one', 'two'):
        content = coco(2)
        content['licenses'] = licenses
        roots.append(write_set(tmp_path / name, content))
        for number in range(2):
            val = coco(2)
            for image in val['images']:
                image['file_name'] = f'v{image["file_name"]}'
                put(roots[-1] / 'images' / image['file_name'], grey(9 + number))
            val['licenses'] = licenses
        put(roots[-1] / 'annotations' / 'val.json', val)
    done = tool('data/merge.py', tmp_path / 'merged', *roots)
    if done.code:
        done.told('licenses')
    else:
        assert sum(class_counts(tmp_path / 'merged').values()) == 4 * 8
