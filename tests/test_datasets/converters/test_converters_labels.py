"""Converters from labelling tools, by round trips of one hand-made set and on small files in each tool's layout."""

import base64
import importlib.util
import json
import sys
from pathlib import Path

from mmdet_ir.datasets import IRDataset
from mmdet_ir.datasets.converters import (
    Options,
    convert_cvat_coco,
    convert_labelme,
    convert_mask_images,
    convert_voc,
    convert_yolo_seg,
)

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as mask_utils

WIDTH, HEIGHT = 60, 40
L_SHAPE = [10, 5, 20, 5, 20, 25, 15, 25, 15, 15, 10, 15]  # 10 x 10 and 5 x 10 below its right half
BAR, TWIN = [30, 10, 50, 10, 50, 22, 30, 22], [30, 28, 36, 28, 36, 34, 30, 34]
TRIANGLE = [2.5, 30.25, 12.75, 30.25, 2.5, 38.5]
# Image, class, polygons. Worked out by hand: area in pixels, xywh box.
OBJECTS = [
    ('a', 'person', [L_SHAPE], 150, [10, 5, 10, 20]),
    ('a', 'car', [BAR, TWIN], 276, [30, 10, 20, 24]),
    ('b', 'bike', [TRIANGLE], None, [2.5, 30.25, 10.25, 8.25]),
    ('b', 'dog', [BAR], 240, [30, 10, 20, 12]),
]
CLASSES = {'person': 1, 'car': 2, 'bike': 3}


def pixels(polygons: list[list[float]]) -> np.ndarray:
    """``[H, W]`` bool, by pycocotools."""
    return mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(polygons, HEIGHT, WIDTH))).astype(bool)


def pixels_of(annotation: dict) -> np.ndarray:
    segmentation = annotation['segmentation']
    return mask_utils.decode(segmentation).astype(bool) if isinstance(segmentation, dict) else pixels(segmentation)


def uncompressed(mask: np.ndarray) -> dict:
    """RLE run by run."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return {'size': list(mask.shape), 'counts': runs}


def write_image(path: Path, dtype=np.uint8, size=(WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(size[::-1], 90, dtype))


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def load(out: Path, split: str = 'all') -> dict:
    return json.loads((out / 'annotations' / f'{split}.json').read_text())


def check(out: Path, report, names: dict[str, str], off: int = 0, split: str = 'all', tolerance: float = 0) -> None:
    """The hand-made set came through: classes, masks (up to ``off`` pixels), areas, boxes. The dog is counted."""
    coco = load(out, split)
    assert {i['file_name']: (i['width'], i['height']) for i in coco['images']} == dict.fromkeys(
        names.values(), (60, 40)
    )
    ids = {image['file_name']: image['id'] for image in coco['images']}
    wanted = sorted((ids[names[o[0]]], CLASSES[o[1]], o) for o in OBJECTS if o[1] in CLASSES)
    found = sorted(coco['annotations'], key=lambda a: (a['image_id'], a['category_id']))
    assert [(a['image_id'], a['category_id']) for a in found] == [w[:2] for w in wanted]
    for a, (_, _, (_, name, polygons, area, box)) in zip(found, wanted, strict=True):
        mask = pixels_of(a)
        assert (mask ^ pixels(polygons)).sum() <= off
        assert a['area'] == mask.sum()
        assert area is None or abs(a['area'] - area) <= off
        assert a['bbox'] == pytest.approx(box, abs=tolerance)
        assert (a['mask_source'], a['iscrowd'], a['source_class']) == ('annotated', 0, name)
    assert report.read == {'person': 1, 'car': 1, 'bike': 1, 'dog': 1}
    assert report.unmapped == {'dog': 1} and not report.dropped
    assert report.written[split] == {'human': 1, 'car': 1, 'bicycle': 1}


def run_tool(monkeypatch, *arguments) -> int:
    """The exit code of the tool; its errors are raised."""
    path = Path(__file__).parents[3] / 'tools' / 'data' / 'convert.py'
    spec = importlib.util.spec_from_file_location('convert_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
    try:
        tool.main()
    except SystemExit as ended:
        return ended.code
    return 0


# --------------------------------------------------------------------------------------------------- LabelMe


def shape(label: str, points: list, kind: str = 'polygon', group: int | None = None, **more) -> dict:
    return {'label': label, 'points': points, 'group_id': group, 'shape_type': kind, 'flags': {}, **more}


def pairs(polygon: list[float]) -> list[list[float]]:
    return [list(pair) for pair in zip(polygon[::2], polygon[1::2], strict=True)]


def write_labelme(path: Path, shapes: list, image: str, **more) -> None:
    size = {'imageWidth': WIDTH, 'imageHeight': HEIGHT}
    write_json(
        path,
        {'version': '5.5.0', 'flags': {}, 'shapes': shapes, 'imagePath': image, 'imageData': None, **size, **more},
    )


def png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode('.png', mask.astype(np.uint8))[1].tobytes()).decode()


def labelme_shapes(image: str) -> list[dict]:
    return [
        shape(name, pairs(polygon), group=k if len(polygons) > 1 else None)
        for k, (where, name, polygons, _, _) in enumerate(OBJECTS)
        for polygon in polygons
        if where == image
    ]


def test_labelme_round_trip(tmp_path):
    src = tmp_path / 'src'
    for image in 'ab':
        write_image(src / f'images/{image}.png', np.uint16)
        write_labelme(src / f'labels/{image}.json', labelme_shapes(image), f'..\\images\\{image}.png')
    report = convert_labelme(src, tmp_path / 'out')
    check(tmp_path / 'out', report, {'a': 'a.png', 'b': 'b.png'})
    assert report.notes == ['the source has no train and val: split annotations/all.json with tools/data/split.py']


def test_labelme_splits_by_folder(tmp_path):
    for split in ('train', 'valid'):
        write_image(tmp_path / f'src/{split}/a.png')
        write_labelme(tmp_path / f'src/{split}/a.json', labelme_shapes('a'), 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
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
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
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
        ({}, 'points that are not pairs of finite numbers'),
    ],
)
def test_labelme_invalid_shapes(tmp_path, bad, reason):
    write_image(tmp_path / 'src/a.png')
    write_labelme(tmp_path / 'src/a.json', [shape('person', pairs(L_SHAPE)), bad], 'a.png')
    report = convert_labelme(tmp_path / 'src', tmp_path / 'out')
    (key,) = report.dropped
    assert key.startswith(f'{bad.get("label", "(no label)")}: {reason}')
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
    report = convert_labelme(src, tmp_path / 'out')
    skipped = {Path(line.split(':')[0].split(',')[0]).name: line for line in report.skipped}
    assert len(report.skipped) == 8
    assert "'..\\\\secret.png', which leads out of it" in skipped['1.json']
    assert 'expected a file name relative to' in skipped['2.json']
    assert 'missing.png; 2 objects left out with it' in ''.join(report.skipped)
    assert 'the image a.png has occurred before; 2 objects' in skipped['4.json']
    assert 'expected width and height (60, 40) as in' in skipped['c.png'] and 'got (61, 40)' in skipped['c.png']
    assert 'is not valid JSON' in ''.join(report.skipped) and '8.json is not valid JSON' in ''.join(report.skipped)
    assert 'expected a list "shapes"' in skipped['7.json']
    assert [p.name for p in (tmp_path / 'out/images').iterdir()] == ['a.png']
    assert report.read.total() == len(load(tmp_path / 'out')['annotations']) + report.dropped.total()
    with pytest.raises(FileNotFoundError, match='expected JSON files of LabelMe, found none'):
        convert_labelme(tmp_path / 'out' / 'images', tmp_path / 'other')


# --------------------------------------------------------------------------------------------------- CVAT


def cvat_file(images: str, rle: bool) -> dict:
    """What CVAT writes: masks as uncompressed RLE, all of them marked iscrowd."""
    names = ('dog', 'bike', 'person', 'car')
    coco = {'licenses': [{'id': 0, 'name': '', 'url': ''}], 'info': {}}
    coco['categories'] = [{'id': i, 'name': name, 'supercategory': ''} for i, name in enumerate(names, start=1)]
    ids = {category['name']: category['id'] for category in coco['categories']}
    coco['images'] = [
        {'id': k, 'width': WIDTH, 'height': HEIGHT, 'file_name': f'{image}.png', 'license': 0}
        for k, image in enumerate(images, start=1)
    ]
    coco['annotations'] = [
        {
            'id': k,
            'image_id': images.index(image) + 1,
            'category_id': ids[name],
            'bbox': box,
            'area': 1,
            'segmentation': uncompressed(pixels(polygons)) if rle else polygons,
            'iscrowd': int(rle),
            'attributes': {'occluded': False},
        }
        for k, (image, name, polygons, _, box) in enumerate(OBJECTS, start=1)
        if image in images
    ]
    return coco


@pytest.mark.parametrize('rle', [False, True])
@pytest.mark.parametrize('folder', ['images', 'images/default', 'default'])
def test_cvat_round_trip(tmp_path, rle, folder):
    src = tmp_path / 'src'
    for image in 'ab':
        write_image(src / folder / f'{image}.png')
    write_json(src / 'annotations/instances_default.json', cvat_file('ab', rle))
    report = convert_cvat_coco(src, tmp_path / 'out')
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
    assert convert_cvat_coco(tmp_path / 'src', tmp_path / 'out').images == {'train': 1}


def test_cvat_subsets_and_iscrowd(tmp_path):
    for subset, image in (('train', 'a'), ('validation', 'b')):
        write_image(tmp_path / f'src/images/{subset}/{image}.png')
        write_json(tmp_path / f'src/annotations/instances_{subset}.json', cvat_file(image, True))
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out', keep_iscrowd=True)
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
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
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
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert report.dropped == {f'person: {reason}': 1 for _, reason in bad} and report.read == {'person': 8}
    (kept,) = load(tmp_path / 'out')['annotations']
    np.testing.assert_array_equal(pixels_of(kept), ring)
    assert kept['area'] == 240 - 32 and report.written['all'] == {'human': 1}
    assert any(note.startswith('1 masks have holes and are RLE') for note in report.notes)
    convert_cvat_coco(tmp_path / 'src', tmp_path / 'filled', options=Options(fill_holes=True))
    (filled,) = load(tmp_path / 'filled')['annotations']
    assert filled['segmentation'] == [[30, 10, 30, 22, 50, 22, 50, 10]] or filled['area'] == 240
    np.testing.assert_array_equal(pixels_of(filled), pixels([BAR]))


def test_cvat_file_names_that_leave_the_source(tmp_path):
    write_image(tmp_path / 'secret.png')
    write_image(tmp_path / 'src/images/a.png')
    coco = cvat_file('ab', False)
    coco['images'][1]['file_name'] = '../../secret.png'
    write_json(tmp_path / 'src/annotations/instances_default.json', coco)
    report = convert_cvat_coco(tmp_path / 'src', tmp_path / 'out')
    assert len(report.skipped) == 1 and "'../../secret.png', which leads out of it; 2 objects" in report.skipped[0]
    assert report.read.total() == 4 and report.dropped.total() == 2
    with pytest.raises(FileNotFoundError, match='expected annotations/instances_SUBSET.json, found none'):
        convert_cvat_coco(tmp_path, tmp_path / 'other')


# --------------------------------------------------------------------------------------------------- YOLO

YOLO_NAMES = ['dog', 'bike', 'person', 'car']


def yolo_line(name: str, polygon: list[float]) -> str:
    values = [v / (HEIGHT if i % 2 else WIDTH) for i, v in enumerate(polygon)]
    return ' '.join([str(YOLO_NAMES.index(name)), *(f'{v:.6f}' for v in values)])


def write_yolo(src: Path, split: str = 'train', **more) -> None:
    for image in 'ab':
        write_image(src / f'images/{split}/{image}.jpg')
        # YOLO joins the parts of an object; here by a line of no width between the car's two rectangles.
        lines = [
            yolo_line(name, polygons[0] + [30, 22, *polygons[1], 30, 28, 30, 22] if len(polygons) > 1 else polygons[0])
            for where, name, polygons, _, _ in OBJECTS
            if where == image
        ]
        label = src / f'labels/{split}/{image}.txt'
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text('\n'.join(lines) + '\n\n')
    content = {'path': '../datasets/mine', 'train': f'images/{split}', 'nc': 4, 'names': YOLO_NAMES, **more}
    (src / 'data.yaml').write_text(json.dumps(content))  # JSON is YAML


def test_yolo_round_trip(tmp_path):
    write_yolo(tmp_path / 'src')
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
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
    report = convert_yolo_seg(src, tmp_path / 'out')
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
    report = convert_yolo_seg(src, tmp_path / 'out')
    assert report.written['train'] == {'human': 1}
    assert load(tmp_path / 'out', 'train')['images'][0]['file_name'] == 'train/images/a.1.jpg'


def test_yolo_rounding_loses_no_thin_target(tmp_path):
    """Six decimals of 7/60 and 8/60 are less than a pixel apart; MMDetection drops boxes under one pixel."""
    write_yolo(tmp_path / 'src')
    (tmp_path / 'src/labels/train/a.txt').write_text('2 0.116667 0.25 0.133333 0.25 0.133333 0.5 0.116667 0.5')
    convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    thin = load(tmp_path / 'out', 'train')['annotations'][0]
    assert (thin['bbox'], thin['area']) == ([7, 10, 1, 10], 10)


def test_yolo_invalid_lines(tmp_path):
    write_yolo(tmp_path / 'src')
    bad = [
        ('9 0.1 0.1 0.2 0.2 0.3 0.3', '(unknown class): class number that is not in data.yaml'),
        ('-1 0.1 0.1 0.2 0.2 0.3 0.3', '(unknown class): class number that is not in data.yaml'),
        ('person 0.1 0.1 0.2 0.2 0.3 0.3', '(unknown class): class number that is not in data.yaml'),
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
    report = convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    examples = {entry: key for key, entries in report.examples.items() for entry in entries}
    for number, (_, reason) in enumerate(bad, start=3):
        assert examples[f'{tmp_path / "src/labels/train/a.txt"}, line {number}'].startswith(reason)
    assert report.dropped.total() == len(bad) and report.read.total() == len(bad) + 2
    kept = load(tmp_path / 'out', 'train')['annotations']
    assert [a['bbox'] for a in kept] == [pytest.approx([10, 5, 10, 20], abs=1e-3), [54, 20, 6, 16]]
    assert 'b.txt: not a text file' in report.skipped[0]
    assert report.skipped[1].endswith('orphan.txt: no image of any split for this label file')


@pytest.mark.parametrize(
    ('more', 'error', 'message'),
    [
        ({'names': None}, ValueError, 'expected "names" as a list or as numbers with names'),
        ({'names': ['person', ['car']]}, ValueError, 'expected "names" to hold text'),
        ({'train': [['images']]}, ValueError, 'data.yaml, train: expected a file name, got list'),
        ({'names': {'a': 'person'}}, ValueError, 'expected "names" as a list or as numbers with names'),
        ({'train': None}, ValueError, 'expected at least one of train, val and test'),
        ({'train': 'images/other'}, FileNotFoundError, 'data.yaml, train: expected a folder or a text file'),
        ({'train': '../../elsewhere'}, ValueError, 'data.yaml, train: expected a file inside .* leads out of it'),
        ({'train': '/etc'}, ValueError, 'data.yaml, train: expected a file name relative to'),
    ],
)
def test_yolo_unsound_data_yaml(tmp_path, more, error, message):
    write_yolo(tmp_path / 'src', **{'path': '.', **more})
    with pytest.raises(error, match=message):
        convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')


def test_yolo_yaml_is_data_only(tmp_path):
    write_yolo(tmp_path / 'src')
    for text, message in (('!!python/object/apply:os.system ["exit"]', 'not valid YAML'), ('a: [', 'not valid YAML')):
        (tmp_path / 'src/data.yaml').write_text(text)
        with pytest.raises(ValueError, match=message):
            convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')
    (tmp_path / 'src/data.yaml').unlink()
    with pytest.raises(FileNotFoundError, match='data.yaml: no such file'):
        convert_yolo_seg(tmp_path / 'src', tmp_path / 'out')


# --------------------------------------------------------------------------------------------------- Pascal VOC


def voc_object(name: str, corners: tuple, more: str = '') -> str:
    box = ''.join(f'<{k}>{v}</{k}>' for k, v in zip(('xmin', 'ymin', 'xmax', 'ymax'), corners, strict=True))
    return f'<object><name>{name}</name><pose>Unspecified</pose>{more}<bndbox>{box}</bndbox></object>'


def write_voc(path: Path, objects: list[str], file_name: str, size=(WIDTH, HEIGHT), head: str = '') -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'<size><width>{size[0]}</width><height>{size[1]}</height><depth>1</depth></size>'
    path.write_text(
        f'{head}<annotation><folder>x</folder><filename>{file_name}</filename><path>/x/y.png</path>{text}'
        f'{"".join(objects)}</annotation>'
    )


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
    report = convert_voc(src, tmp_path / 'out', origin)
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
    report = convert_voc(tmp_path / 'src', tmp_path / 'out', options=Options(derive_masks=True))
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
    report = convert_voc(src, tmp_path / 'out')
    assert report.dropped == {reason: 1 for _, reason in bad} | {
        'car: bndbox without four numbers': 1,
        'car: its image is left out': 1,
    }
    assert [a['bbox'] for a in load(tmp_path / 'out')['annotations']] == [[2, 2, 7, 7]]
    messages = [
        'b.xml, filename: expected a file inside',
        'd.xml: expected whole numbers in size/width',
        'e.xml: not a readable XML file: no element found',
        'f.xml: not a readable XML file: document type declaration <!DOCTYPE x>',
        'g.xml: not a readable XML file: document type declaration <!DOCTYPE x>',
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


# --------------------------------------------------------------------------------------------------- mask images

VALUES = {1: 'person', 2: 'car', 3: 'bike', 4: 'dog'}
NUMBERS = {name: number for number, name in VALUES.items()}


def write_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)


@pytest.mark.parametrize('dtype', [np.uint16, np.int32])
def test_instance_masks_round_trip(tmp_path, dtype):
    """Cityscapes' numbers: 1000 x class + instance; the car is in two parts."""
    src = tmp_path / 'src'
    for image in 'ab':
        mask = np.zeros((HEIGHT, WIDTH), np.uint16)
        for k, (where, name, polygons, _, _) in enumerate(OBJECTS):
            if where == image:
                mask[pixels(polygons)] = 1000 * NUMBERS[name] + k
        write_image(src / f'images/{image}.jpg')
        if dtype == np.uint16:
            write_mask(src / f'masks/{image}.png', mask)
        else:
            write_mask(src / f'masks/{image}.tiff', mask.astype(dtype))
    report = convert_mask_images(src, tmp_path / 'out', 'instance', VALUES, divisor=1000)
    check(tmp_path / 'out', report, {'a': 'a.jpg', 'b': 'b.jpg'}, tolerance=1.25)
    assert [a['source_value'] for a in load(tmp_path / 'out')['annotations']] == [1000, 2001, 3002]


def test_instance_masks_of_one_class(tmp_path):
    write_image(tmp_path / 'src/images/train/a.jpg')
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[pixels([BAR])], mask[pixels([L_SHAPE])] = 7, 255
    write_mask(tmp_path / 'src/masks/train/a.png', mask)
    report = convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'instance', {1: 'drone'})
    found = load(tmp_path / 'out', 'train')['annotations']
    assert [(a['category_id'], a['area'], a['bbox']) for a in found] == [
        (4, 240, [30, 10, 20, 12]),
        (4, 150, [10, 5, 10, 20]),
    ]
    assert report.read == {'drone': 2}


def test_semantic_masks_and_connected_components(tmp_path):
    src = tmp_path / 'src'
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[pixels([BAR])] = mask[pixels([TWIN])] = 2  # two cars
    mask[5:10, 5:10], mask[10:12, 10:12] = 1, 1  # joined by a corner: one person
    mask[39, 59] = 1  # a speck
    mask[0, :3] = 200  # not named
    write_image(src / 'images/a.jpg')
    write_mask(src / 'masks/a.png', mask)
    report = convert_mask_images(src, tmp_path / 'out', 'semantic', VALUES, min_area=2)
    found = load(tmp_path / 'out')['annotations']
    assert [(a['category_id'], a['area'], a['bbox']) for a in found] == [
        (1, 29, [5, 5, 7, 7]),
        (2, 240, [30, 10, 20, 12]),
        (2, 36, [30, 28, 6, 6]),
    ]
    union = np.any([pixels_of(a) for a in found], axis=0)
    expected = np.isin(mask, (1, 2))
    expected[39, 59] = False
    np.testing.assert_array_equal(union, expected)
    assert report.read == {'person': 2, 'car': 2, '(200)': 1} and report.unmapped == {'(200)': 1}
    assert report.dropped == {'person: component under 2 pixels': 1}


def test_palette_masks_count_by_index(tmp_path):
    write_image(tmp_path / 'src/images/a.jpg')
    (tmp_path / 'src/masks').mkdir()
    image = Image.fromarray(pixels([BAR]).astype(np.uint8), mode='P')
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / 'src/masks/a.png')
    convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'semantic', {1: 'car'})
    assert [a['area'] for a in load(tmp_path / 'out')['annotations']] == [240]


def test_invalid_mask_images(tmp_path):
    src = tmp_path / 'src'
    for name in 'abcdefg':
        write_image(src / f'images/{name}.jpg')
    mask = pixels([BAR]).astype(np.uint8)
    write_mask(src / 'masks/a.png', mask)
    write_mask(src / 'masks/b.png', mask[:, 1:])
    write_mask(src / 'masks/c.png', np.stack([mask] * 3, axis=-1))
    write_mask(src / 'masks/d.jpg', mask)
    (src / 'masks/e.png').write_text('no image')
    write_mask(src / 'masks/g.tiff', np.arange(2400, dtype=np.uint16).reshape(HEIGHT, WIDTH))
    write_mask(src / 'masks/z.png', mask)
    report = convert_mask_images(src, tmp_path / 'out', 'semantic', {1: 'car'})
    messages = [
        'd.jpg: expected a mask without loss',
        'f.jpg: no mask',
        'z.png: no image for this mask',
        'b.png: expected the height and width of its image, (40, 60), got (40, 59)',
        'c.png: expected a mask of one channel of whole numbers, got uint8 [40, 60, 3]',
        'e.png: not a readable image',
        'g.tiff: expected a mask of at most 2000 values, got 2399',
    ]
    assert len(report.skipped) == len(messages)
    for message, line in zip(messages, report.skipped, strict=True):
        assert message in line
    assert report.read == {'car': 1}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('panoptic', VALUES), "expected masks of kind 'instance' or 'semantic', got 'panoptic'"),
        (('instance', VALUES), 'expected a divisor, or a single class for all instances'),
        (('semantic', {}), 'expected names for class numbers other than 0'),
        (('semantic', {0: 'person'}), 'expected names for class numbers other than 0'),
        (('instance', {0: 'person'}, 1000), 'expected names for class numbers other than 0'),
    ],
)
def test_mask_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        convert_mask_images(tmp_path, tmp_path / 'out', *arguments)


def test_instances_without_a_number(tmp_path):
    write_image(tmp_path / 'src/images/a.jpg')
    mask = pixels([BAR]).astype(np.uint16) * 2000
    mask[0, :5] = 2
    write_mask(tmp_path / 'src/masks/a.png', mask)
    report = convert_mask_images(tmp_path / 'src', tmp_path / 'out', 'instance', VALUES, 1000)
    assert report.dropped == {'car: value below the divisor: a class without an instance number': 1}
    with pytest.raises(FileNotFoundError, match='expected masks in masks/, found none'):
        convert_mask_images(tmp_path, tmp_path / 'other', 'semantic', VALUES)


# --------------------------------------------------------------------------------------------------- command line


def test_tool(tmp_path, monkeypatch, capsys):
    src = tmp_path / 'src'
    write_yolo(src / 'yolo')
    write_image(src / 'voc/a.png')
    write_voc(src / 'voc/a.xml', [voc_object('rider', (0, 0, 9, 9))], 'a.png')
    write_image(src / 'masks/images/a.png')
    write_mask(src / 'masks/masks/a.png', pixels([BAR]).astype(np.uint8))
    write_image(src / 'labelme/a.png')
    write_labelme(src / 'labelme/a.json', labelme_shapes('a'), 'a.png')
    write_labelme(src / 'labelme/b.json', labelme_shapes('a'), '../b.png')
    write_image(src / 'cvat/images/a.png')
    write_json(src / 'cvat/annotations/instances_default.json', cvat_file('a', True))
    runs = {
        'yolo-seg': ('yolo',),
        'voc': ('voc', '--origin', 0, '--classes', 'human=rider'),
        'masks': ('masks', '--kind', 'semantic', '--values', '1=person', '2=car'),
        'labelme': ('labelme',),
        'cvat-coco': ('cvat', '--keep-iscrowd'),
    }
    for name, (folder, *more) in runs.items():
        assert run_tool(monkeypatch, name, src / folder, tmp_path / name, *more) == 0
        assert load(tmp_path / name, 'train' if folder == 'yolo' else 'all')['annotations']
    assert load(tmp_path / 'voc')['annotations'][0]['bbox'] == [0, 0, 9, 9]
    text = capsys.readouterr().out
    assert 'ignored regions: car 1, human 1' in text and 'skipped 1 files' in text
    assert run_tool(monkeypatch, 'labelme', src / 'labelme', tmp_path / 'labelme', '--overwrite', '--strict') == 1
    for bad in ('person', '1=', 'x=person', '1=person'):
        with pytest.raises(ValueError, match='--values: expected '):
            run_tool(monkeypatch, 'masks', src, tmp_path / 'x', '--kind', 'semantic', '--values', '1=a', bad)


def test_converted_set_loads(tmp_path):
    """Classes, masks, images and sizes pass the checks of the data set that trains on them."""
    src = tmp_path / 'src'
    for image in 'ab':
        write_image(src / f'images/{image}.png')
    write_json(src / 'annotations/instances_train.json', cvat_file('ab', True))
    convert_cvat_coco(src, tmp_path / 'out')
    pipeline = [{'type': 'LoadIRImageFromFile'}, {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}]
    where = {
        'data_root': str(tmp_path / 'out'),
        'ann_file': 'annotations/train.json',
        'data_prefix': {'img': 'images/'},
    }
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = IRDataset(**where, pipeline=pipeline)
    samples = list(dataset)
    areas = [mask.sum() for sample in samples for mask in sample['gt_masks'].masks]
    labels = [label for sample in samples for label in sample['gt_bboxes_labels']]
    assert areas == [150, 276, pixels([TRIANGLE]).sum()] and labels == [0, 1, 2]
