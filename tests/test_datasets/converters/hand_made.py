"""One hand-made set of masks, and how each tool would write it."""

import json
from pathlib import Path

from mmdet_ir.datasets.converters import Options
from mmdet_ir.datasets.converters.class_names import FOUR_CLASSES

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

FOUR = Options(classes=FOUR_CLASSES)
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


def labelme_shapes(image: str) -> list[dict]:
    return [
        shape(name, pairs(polygon), group=k if len(polygons) > 1 else None)
        for k, (where, name, polygons, _, _) in enumerate(OBJECTS)
        for polygon in polygons
        if where == image
    ]


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


def write_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)
