"""Converters from labelling tools, by round trips of one hand-made set and on small files in each tool's layout."""

import base64
import importlib.util
import json
import sys
from pathlib import Path

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
    """The hand-made set came through: classes, masks (up to ``off`` pixels), areas, boxes; the dog is accounted for."""
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
    path = Path(__file__).parents[2] / 'tools' / 'data' / 'convert.py'
    spec = importlib.util.spec_from_file_location('convert_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
    return tool.main()


# --------------------------------------------------------------------------------------------------- LabelMe


def shape(label: str, points: list, kind: str = 'polygon', group: int | None = None, **more) -> dict:
    return {'label': label, 'points': points, 'group_id': group, 'shape_type': kind, 'flags': {}, **more}


def pairs(polygon: list[float]) -> list[list[float]]:
    return [list(pair) for pair in zip(polygon[::2], polygon[1::2], strict=True)]


def write_labelme(path: Path, shapes: list, image: str, **more) -> None:
    size = {'imageWidth': WIDTH, 'imageHeight': HEIGHT}
    write_json(path, {'version': '5.5.0', 'flags': {}, 'shapes': shapes, 'imagePath': image, 'imageData': None,
                      **size, **more})  # fmt: skip


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
        ({}, "polygon with fewer than 3 points"),
    ],
)  # fmt: skip
def test_labelme_invalid_shapes(tmp_path, bad, reason):
    bad = {**bad, 'points': bad.get('points', [])} if not bad else bad
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
    assert 'missing.png: no such image; 2 objects left out with it' in skipped['missing.png']
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
    coco = {'licenses': [{'id': 0, 'name': '', 'url': ''}], 'info': {}, 'categories': [
        {'id': i, 'name': name, 'supercategory': ''} for i, name in enumerate(('dog', 'bike', 'person', 'car'), 1)]}  # fmt: skip
    ids = {category['name']: category['id'] for category in coco['categories']}
    coco['images'] = [
        {'id': k, 'width': WIDTH, 'height': HEIGHT, 'file_name': f'{image}.png', 'license': 0}
        for k, image in enumerate(images, start=1)
    ]
    coco['annotations'] = [
        {'id': k, 'image_id': images.index(image) + 1, 'category_id': ids[name], 'bbox': box, 'area': 1,
         'segmentation': uncompressed(pixels(polygons)) if rle else polygons, 'iscrowd': int(rle),
         'attributes': {'occluded': False}}
        for k, (image, name, polygons, _, box) in enumerate(OBJECTS, start=1) if image in images
    ]  # fmt: skip
    return coco


@pytest.mark.parametrize('rle', [False, True])
@pytest.mark.parametrize('folder', ['images', 'images/default'])
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
    said = '4 masks marked iscrowd were taken as instances'
    assert any(note.startswith(said) for note in report.notes) == rle


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
    written = {a['source_id']: (a['bbox'], a['area'], a['segmentation'] != []) for a in load(tmp_path / 'out')[
        'annotations']}  # fmt: skip
    outline = ([10, 5, 10, 20], 150, True)
    assert written == {1: ([10, 5, 10, 20], 200, False), 2: ([30, 10, 20, 12], 240, False), 3: outline, 4: outline,
                       5: outline}  # fmt: skip
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
        ({'size': [HEIGHT, WIDTH], 'counts': [2500, -100]}, 'RLE with a negative run'),
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
