"""Repairs of files as pandas, Roboflow, Label Studio and others write them."""

import copy
import json
import unicodedata
from urllib.parse import quote

from mmdet_ir.datasets.coco_files import CLASSES, check_coco
from mmdet_ir.datasets.validation.annotations import Needs, check_for_training
from mmdet_ir.datasets.validation.repairs.repair import repair
from mmdet_ir.datasets.validation.repairs.values import as_number

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

WIDTH, HEIGHT = 40, 30
FILES = ['Wärmebild 0.png', 'Wärmebild 1.png']


def sound() -> dict:
    """Two images, four targets of 6 x 5 pixels."""
    polygon = [4, 4, 10, 4, 10, 9, 4, 9]
    return {
        'images': [{'id': i, 'file_name': name, 'width': WIDTH, 'height': HEIGHT} for i, name in enumerate(FILES, 1)],
        'annotations': [
            {
                'id': k,
                'image_id': 1 + k % 2,
                'category_id': k,
                'bbox': [4, 4, 6, 5],
                'area': 30,
                'iscrowd': 0,
                'segmentation': [polygon],
            }
            for k in range(1, 5)
        ],
        'categories': [{'id': k, 'name': name} for k, name in enumerate(CLASSES, start=1)],
    }


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        cv2.imwrite(str(tmp_path / name), np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH))
    return tmp_path


def plain(coco: dict) -> str:
    """JSON tells 1, 1.0 and true apart."""
    return json.dumps(coco, sort_keys=True)


def each(section, change):
    def edit(coco):
        for entry in coco[section]:
            change(entry)

    return edit


def as_floats(coco):
    for entry in (*coco['images'], *coco['categories']):
        entry['id'] = float(entry['id'])
    for entry in coco['annotations']:
        entry |= {key: float(entry[key]) for key in ('id', 'image_id', 'category_id')}
    for entry in coco['images']:
        entry |= {'width': float(WIDTH), 'height': float(HEIGHT)}


def as_rle(convert):
    def change(entry):
        rle = mask_utils.merge(mask_utils.frPyObjects(entry['segmentation'], HEIGHT, WIDTH))
        entry['segmentation'] = {'size': [HEIGHT, WIDTH], 'counts': convert(rle)}

    return each('annotations', change)


def float_runs(rle) -> list[float]:
    pixels = mask_utils.decode(rle).T.ravel()
    edges = np.flatnonzero(np.diff(pixels)) + 1
    return np.diff([0, *edges, len(pixels)]).astype(float).tolist()


@pytest.mark.parametrize(
    'spoil',
    [
        as_floats,
        each('annotations', lambda a: a.update(bbox=str(a['bbox']))),
        each('annotations', lambda a: a.update(bbox=[str(v) for v in a['bbox']], area=str(a['area']))),
        each('annotations', lambda a: a.update(segmentation=json.dumps(a['segmentation']))),
        each('annotations', lambda a: a.update(image_id=str(a['image_id']), category_id=str(a['category_id']))),
        each('annotations', lambda a: a.update(segmentation=[np.reshape(a['segmentation'][0], (-1, 2)).tolist()])),
        each('annotations', lambda a: a.pop('area')),
        each('annotations', lambda a: a.pop('bbox')),
        each('annotations', lambda a: a.update(bbox=[])),
        lambda coco: coco['annotations'].append({'id': 9, 'image_id': 1, 'category_id': 1, 'bbox': [], 'area': 0}),
        each('annotations', lambda a: a.pop('id')),
        each('annotations', lambda a: a.update(area=None, iscrowd=None)),
        each('annotations', lambda a: a.update(iscrowd=False)),
        each('images', lambda image: image.update(width=0, height=0)),
        each('images', lambda image: image.update(width=None, height=None)),
        each('images', lambda image: image.update(file_name=quote(image['file_name']))),
        each('images', lambda image: image.update(file_name=f'images\\{image["file_name"]}')),
        each('images', lambda image: image.update(file_name=f'C:\\me\\{image["file_name"]}')),
        each('images', lambda image: image.update(file_name=f'../../upload/4/{image["file_name"]}')),
        each('images', lambda image: image.update(file_name=unicodedata.normalize('NFD', image['file_name']))),
        each('images', lambda image: image.update(file_name=image['file_name'] + ' ')),
        each('images', lambda image: image.update(file_name=image['file_name'].upper())),
        each('images', lambda image: image.update(file_name=image['file_name'][:-4])),
        each('categories', lambda category: category.update(name=category['name'].title() + ' ')),
    ],
)
def test_what_is_certain_is_put_right(folder, spoil):
    coco = sound()
    spoil(coco)
    before = copy.deepcopy(coco)
    assert plain(before) != plain(sound())
    fixed, done = repair(coco, CLASSES, folder)
    assert plain(fixed) == plain(sound()) and done and coco == before


@pytest.mark.parametrize('convert', [float_runs, lambda rle: str(rle['counts']), lambda rle: rle['counts'].decode()])
def test_runs_as_programs_write_them(folder, convert):
    coco = sound()
    as_rle(convert)(coco)
    fixed, _ = repair(coco, CLASSES, folder)
    check_coco(fixed, 'a file', masks=True)
    for annotation in fixed['annotations']:
        rle = annotation['segmentation']
        rle = mask_utils.frPyObjects(rle, HEIGHT, WIDTH) if isinstance(rle['counts'], list) else rle
        mask = mask_utils.decode(rle)
        assert mask.sum() == 30 and mask[4:9, 4:10].all()


def test_parents_of_other_categories(folder):
    """Roboflow's root of the name of a class, which no annotation is of."""
    coco = sound()
    coco['categories'] = [{'id': 0, 'name': 'car', 'supercategory': 'none'}] + [
        category | {'supercategory': 'car'} for category in coco['categories']
    ]
    fixed, done = repair(coco, CLASSES, folder)
    assert [(c['id'], c['name']) for c in fixed['categories']] == list(enumerate(CLASSES, start=1))
    assert done == ['1 categories that are only the parents of others dropped: car']


def test_what_is_not_certain_stays(folder):
    """Two files that a name may mean; two categories that differ from a class in nothing but case."""
    cv2.imwrite(str(folder / 'Wärmebild 0.bmp'), np.zeros((HEIGHT, WIDTH), np.uint8))
    coco = sound()
    coco['images'][0]['file_name'] = 'Wärmebild 0.jpg'
    coco['categories'][0]['name'] = 'Human'
    coco['categories'].append({'id': 9, 'name': 'HUMAN'})
    fixed, done = repair(coco, CLASSES, folder)
    assert fixed == coco and not done
    assert repair(coco, CLASSES)[0] == coco  # without a folder no file is looked for


POLYGON = [4, 4, 10, 4, 10, 9, 4, 9]  # the target of 6 x 5 pixels


@pytest.mark.parametrize('box', [[500, 300, 20, 20], [-30, 4, 6, 5], [4, HEIGHT, 6, 5]])
@pytest.mark.parametrize('mask', [[POLYGON], [[7, 4, 10, 9, 4, 9]], 'rle'])
def test_boxes_outside_their_image_are_taken_from_sound_masks(folder, box, mask):
    coco = sound()
    if mask == 'rle':
        as_rle(lambda rle: rle['counts'].decode())(coco)
    else:
        area = mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(mask, HEIGHT, WIDTH)))
        coco['annotations'][0].update(segmentation=mask, area=area.item())
    expected = copy.deepcopy(coco)
    coco['annotations'][0]['bbox'] = box
    fixed, done = repair(coco, CLASSES, folder)
    assert fixed == expected
    assert done == ['1 boxes outside their image taken from their masks; annotation ids: 1']
    check_coco(fixed, 'a file', masks=True)


@pytest.mark.parametrize('mask', [[], [[x + 500 for x in POLYGON]], [[4, 4, 6, 6, 8, 8]]])
def test_targets_without_any_pixel_of_the_image_are_dropped(folder, mask):
    coco = sound()
    coco['annotations'][0].update(bbox=[500, 300, 20, 20], segmentation=mask)
    fixed, done = repair(coco, CLASSES, folder)
    assert [a['id'] for a in fixed['annotations']] == [2, 3, 4]
    assert done == ['1 annotations without any pixel of the image dropped; ids: 1']


def test_a_mask_that_leaves_the_image_tells_a_clipped_box(folder):
    coco = sound()
    coco['annotations'][0].update(bbox=[500, 4, 6, 5], segmentation=[[-4, 4, 6, 4, 6, 9, -4, 9]], area=30)
    fixed, _ = repair(coco, CLASSES, folder)
    first = fixed['annotations'][0]
    (polygon,) = first['segmentation']
    assert (first['bbox'], first['area']) == ([0, 4, 6, 5], 30)
    assert sorted(zip(polygon[::2], polygon[1::2], strict=True)) == [(0, 4), (0, 9), (6, 4), (6, 9)]


@pytest.mark.parametrize(
    ('text', 'number'),
    [
        ('1234567890123456789', 1234567890123456789),
        ('-12345678901234567', -12345678901234567),
        (' 7 ', 7),
        ('1.0', 1),
        ('2.5', 2.5),
        ('1e3', 1000),
        ('1_0', '1_0'),
        ('1_0.5', '1_0.5'),
        ('nan', 'nan'),
        ('9' * 400, '9' * 400),
        ('', ''),
    ],
)
def test_texts_that_are_numbers(text, number):
    assert as_number(text) == number and type(as_number(text)) is type(number)


def test_file_names_that_are_no_texts_do_not_end_a_repair(folder):
    coco = sound()
    coco['images'][0]['file_name'] = [FILES[0]]
    coco['images'][1]['file_name'] = FILES[1].upper()
    fixed, done = repair(coco, CLASSES, folder)
    assert [image['file_name'] for image in fixed['images']] == [[FILES[0]], FILES[1]] and len(done) == 1


def test_missing_images_are_told_with_what_is_there(folder):
    coco = sound()
    coco['images'][1]['file_name'] = quote(FILES[1])
    (problem,) = check_for_training(coco, Needs(CLASSES, True, True, 'file_name', folder))
    assert problem.code == 'image-missing' and problem.fixable
    assert "1 of them are there under another spelling, such as 'W%C3%A4rmebild%201.png' as Wärmebild 1.png" in (
        problem.text
    )
