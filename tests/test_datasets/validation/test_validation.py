"""Validation of data sets: every broken input is named, nothing ends in a traceback or loses a target in silence."""

import copy
import json
import logging
import runpy
import sys
from pathlib import Path

from mmdet_ir.cli.errors import explain
from mmdet_ir.datasets import IRDataset
from mmdet_ir.datasets.coco_files import CLASSES, class_categories
from mmdet_ir.datasets.images import infrared_io
from mmdet_ir.datasets.validation import near_duplicates
from mmdet_ir.datasets.validation.annotations import Needs, check_everything
from mmdet_ir.datasets.validation.checks import rle
from mmdet_ir.datasets.validation.data_sets import DataSet, from_config, from_file
from mmdet_ir.datasets.validation.files import read_picture
from mmdet_ir.datasets.validation.repairs.clipping import clip_polygons
from mmdet_ir.datasets.validation.repairs.repair import repair
from mmdet_ir.datasets.validation.report import as_json, as_text, check_between, check_data_set, worst

import cv2
import numpy as np
import pytest
import shapely
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_utils

sys.path.insert(0, str(Path(__file__).parent))
import broken_inputs
from broken_inputs import CASES, REFUSED, SAID, TRAINS, UNREADABLE, Case, picture, write_sound_set

EXIT_CODES = {'note': 0, 'warning': 1, 'error': 2}


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def build(path: Path, poly2mask: bool = True, **options) -> IRDataset:
    load = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True, 'poly2mask': poly2mask}
    pipeline = [{'type': 'LoadIRImageFromFile'}, load, {'type': 'PackDetInputs'}]
    prefix = {'img': str(path.parent / 'images')}
    return DATASETS.build(
        {'type': 'IRDataset', 'ann_file': str(path), 'data_prefix': prefix, 'pipeline': pipeline, **options}
    )


def read_all(dataset: IRDataset) -> int:
    return sum(len(dataset[i]['data_samples'].gt_instances) for i in range(len(dataset)))


def codes(problems: list) -> list[str]:
    return [problem.code for problem in problems]


def test_a_sound_set_has_no_problems(tmp_path):
    coco = write_sound_set(tmp_path / 'set')
    path = tmp_path / 'set' / 'annotations.json'
    path.write_text(json.dumps(coco))
    checked = check_data_set(from_file(path, CLASSES))
    assert checked.problems == []
    assert checked.counts == {'images': 4, 'annotations': 4, 'instances': dict.fromkeys(CLASSES, 1)}
    assert worst([checked], check_between([checked])) == 0
    assert read_all(build(path)) == 4
    assert repair(coco, CLASSES) == (coco, [])


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_broken_input(case: Case, tmp_path, monkeypatch):
    """The problem is reported with its remedy, and training refuses it, says it, or loses nothing."""
    root = tmp_path / 'set'
    path = broken_inputs.build(case, root)
    checked = broken_inputs.check(case, root, path)
    problem = next((p for p in checked.problems if p.code == case.code), None)
    assert problem, codes(checked.problems)
    assert problem.remedy
    assert worst([checked], []) == max(EXIT_CODES[p.severity] for p in checked.problems)
    assert problem.text in as_text([checked], [])
    assert problem.code in {p['code'] for p in json.loads(as_json([checked], []))['data_sets'][0]['problems']}

    said = []
    monkeypatch.setattr(logging.Logger, 'warning', lambda self, message: said.append(message))
    poly2mask = case.poly2mask is not False
    if case.training in (REFUSED, UNREADABLE):
        assert problem.severity == 'error' or case.code in ('mask-missing', 'image-eight-bit', 'image-depths')
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            dataset = build(path, poly2mask)
            assert case.training == UNREADABLE
            read_all(dataset)
        name = 'annotations.json' if case.training == REFUSED else 'images/a.'
        assert name in explain(caught.value)
    else:
        assert problem.severity != 'error'
        assert read_all(build(path, poly2mask)) == case.targets
        assert bool(said) == (case.training == SAID)
        assert all(str(path.parent) in line for line in said)


def test_repairs_of_broken_inputs_leave_no_new_problem(tmp_path):
    """``--fix`` never raises, never adds a kind of problem, and takes away what it says it can."""
    gone = {}
    for number, case in enumerate(CASES):
        root = tmp_path / str(number)
        path = broken_inputs.build(case, root)
        try:
            coco = json.loads(path.read_text())
        except (ValueError, FileNotFoundError, RecursionError):
            continue
        if not isinstance(coco, dict):
            continue
        before = copy.deepcopy(coco)
        fixed, done = repair(coco, CLASSES)
        assert json.dumps(coco) == json.dumps(before)
        needs = Needs(CLASSES)
        old, new = (set(codes(check_everything(c, needs)[0])) for c in (coco, fixed))
        consequences = {'class-absent', 'image-without-targets'}  # of targets that could not be kept
        assert new - old <= consequences, case.name
        assert bool(done) == (json.dumps(fixed) != json.dumps(coco)), case.name
        gone[case.name] = case.code not in new
    assert {name for name, away in gone.items() if away} >= {
        'a list as annotation id',
        'two annotations with one id',
        'annotation ids from 0',
        'an image width as text',
        'an annotation of an unknown image',
        'an image id as text',
        'categories in another order',
        'a box of texts',
        'a box with NaN',
        'a box of zero width',
        'boxes as corners, with masks',
        'a box outside its image',
        'a box that sticks out of its image',
        'the same target twice',
        'no "area"',
        'no "iscrowd"',
        'an area as text',
        'an area of NaN',
        'an area of 0',
        "an area that is not the mask's",
        '"iscrowd" as text',
        'a polygon that is not in a list',
        'a polygon of texts',
    }
    assert not any(
        gone[name]
        for name in (
            'other class names',
            'an annotation of an unknown category',
            '"iscrowd" of 2',
            'no mask',
            'boxes as corners, without masks',
            'boxes as fractions of the image',
            'a polygon of two points',
            'an RLE of another image size',
            'a mask apart from its box',
            'two images with one id',
        )
    )


def test_repairs_by_hand(tmp_path):
    """What the repaired fields have to be."""
    coco = write_sound_set(tmp_path / 'set')
    human, car, bicycle, uav = coco['annotations']
    human |= {'bbox': [10, 10, 30, 41], 'area': '620', 'iscrowd': False}  # corners; the polygon says 10..30, 10..41
    car |= {'bbox': [-3, 10, 20, 31], 'segmentation': None, 'area': -1, 'image_id': '12'}
    bicycle |= {'bbox': [0, 0, 0, 0], 'id': 1}  # the polygon says 12..32, 10..43
    uav |= {'image_id': 15}
    coco['images'].append({'id': 15, 'file_name': 'd.png', 'width': 64, 'height': 48})
    fixed, done = repair(coco, CLASSES)
    a, b, c, d = fixed['annotations']
    assert (a['bbox'], a['area'], a['iscrowd']) == ([10, 10, 20, 31], 620, 0)
    assert type(a['iscrowd']) is int
    assert (b['bbox'], b['area'], b['image_id']) == ([0, 10, 17, 31], 527, 12)
    assert c['bbox'] == [12, 10, 20, 33]
    assert (d['image_id'], [image['id'] for image in fixed['images']]) == (14, [11, 12, 13, 14])
    assert [x['id'] for x in fixed['annotations']] == [1, 2, 3, 4]
    # Text to number twice (fields, references), files, iscrowd, corners, extent, clipping, area, numbering.
    assert len(done) == 9, done


def test_training_names_all_kinds_of_problems_at_once(tmp_path):
    coco = write_sound_set(tmp_path / 'set')
    path = tmp_path / 'set' / 'annotations.json'
    coco['annotations'][0]['bbox'] = [10, 10, 0, 31]
    coco['annotations'][1] |= {'area': 0, 'segmentation': [[1, 2, 3, 4]]}
    coco['annotations'][2]['area'] = -1
    coco['images'][3]['file_name'] = 'x.png'
    path.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match='5 problems of 4 kinds') as caught:
        build(path)
    message = str(caught.value)
    assert message.startswith(f'{path}: ')
    for part in (
        'width and height > 0; annotation ids: 1.',
        'of 0 or less; ids: 2, 3.',
        '3 or more x, y pairs; ids: 2.',
        '1 of 4 images not found',
        f'python tools/data/validate.py {path} --images {path.parent}/images',
    ):
        assert part in message
    # The named command line runs, and finds the same.
    command = message.rsplit('entry by entry: python ', 1)[1].split()
    assert set(codes(check_data_set(from_file(command[1], CLASSES, command[3])).problems)) >= {
        'box-empty',
        'area-empty',
        'polygon-points',
        'image-missing',
    }


def test_masks_are_not_looked_at_without_need(tmp_path):
    """A detector trains on boxes whose masks are broken."""
    coco = write_sound_set(tmp_path / 'set')
    coco['annotations'][0]['segmentation'] = [[1, 2]]
    path = tmp_path / 'set' / 'annotations.json'
    path.write_text(json.dumps(coco))
    pipeline = [
        {'type': 'LoadIRImageFromFile'},
        {'type': 'LoadAnnotations', 'with_bbox': True},
        {'type': 'PackDetInputs'},
    ]
    assert read_all(build(path, pipeline=pipeline)) == 4


def test_runs_of_rle_against_pycocotools():
    rng = np.random.default_rng(0)
    masks = [np.ones((40, 3), np.uint8), np.zeros((5, 9), np.uint8), np.eye(33, dtype=np.uint8)]
    for share in (0.02, 0.5, 0.98) * 8:
        masks.append((rng.random(rng.integers(1, 50, 2)) < share).astype(np.uint8))
    large = np.zeros((1500, 2100), np.uint8)
    large[100:1400, 50:2000] = 1
    masks.append(large)
    encoded = [mask_utils.encode(np.asfortranarray(mask)) for mask in masks]
    counts: list = [r['counts'].decode() for r in encoded]
    for i in range(0, len(masks), 3):  # the uncompressed form, by hand
        column_major = masks[i].T.ravel()
        changes = np.flatnonzero(np.diff(column_major)) + 1
        runs = np.diff([0, *changes, len(column_major)]).tolist()
        counts[i] = [0, *runs] if column_major[0] else runs
    runs, owner, sound = rle.run_lengths(counts)
    pixels, area, box = rle.measure_runs(runs, owner, np.array([len(mask) for mask in masks]))
    assert sound.all()
    for i, mask in enumerate(masks):
        assert (pixels[i], area[i]) == (mask.size, mask.sum())
        x, y, w, h = mask_utils.toBbox(encoded[i])
        expected = [x, y, x + w, y + h] if mask.any() else [np.nan] * 4
        np.testing.assert_array_equal(box[i], expected)


def test_damaged_rle_is_found_and_harms_no_other():
    good = mask_utils.encode(np.asfortranarray(np.eye(9, dtype=np.uint8)))['counts'].decode()
    bad = ['P', good[:1] + '\x7f', 'é', '', [], [3, -1], [1.5, 2], [1, '2'], 7, None, 'ooooooooo0']
    counts = [value for pair in zip(bad, [good] * len(bad), strict=True) for value in pair]
    runs, owner, sound = rle.run_lengths(counts)
    assert sound.tolist() == [False, True] * len(bad)
    assert np.bincount(owner, runs)[1::2].tolist() == [81] * len(bad)


def test_polygons_against_shapely():
    """Area and outline of two polygons of one annotation with large coordinates."""
    rings = [[1e5, 1e5, 1e5 + 20, 1e5, 1e5 + 5, 1e5 + 17], [3, 4, 30, 8, 22, 40, 1, 30]]
    annotation = {
        'id': 1,
        'image_id': 1,
        'category_id': 1,
        'bbox': [1, 4, 29, 36],
        'area': 1,
        'iscrowd': 0,
        'segmentation': rings,
    }
    image = {'id': 1, 'file_name': 'a.png', 'width': 200_000, 'height': 200_000}
    coco = {'images': [image], 'annotations': [annotation], 'categories': class_categories()}
    masks = check_everything(coco, Needs(CLASSES))[3]
    polygons = [shapely.Polygon(np.reshape(ring, (-1, 2))) for ring in rings]
    assert masks.area[0] == pytest.approx(sum(p.area for p in polygons))
    assert masks.outline[0] == pytest.approx(sum(p.length for p in polygons))
    assert masks.box[0].tolist() == list(shapely.MultiPolygon(polygons).bounds)


@pytest.mark.parametrize(
    ('ring', 'crosses'),
    [
        ([10, 10, 30, 10, 30, 41, 10, 41], False),
        ([10, 10, 10, 41, 30, 41, 30, 10], False),  # the other way round
        ([10, 10, 30, 41, 30, 10, 10, 41], True),  # a bow tie
        ([10, 10, 20, 10, 20, 25, 30, 25, 30, 41, 20, 41, 20, 25, 10, 25], False),  # two squares that touch
        ([10, 10, 30, 10, 30, 41, 10, 41, 10, 10], False),  # closed by hand
    ],
)
def test_polygons_that_cross_themselves(ring, crosses, tmp_path):
    coco = write_sound_set(tmp_path / 'set')
    coco['annotations'][0]['segmentation'] = [ring]
    found = codes(check_everything(coco, Needs(CLASSES))[0])
    assert ('polygon-crossing' in found) == crosses


def test_boxes_in_a_corner_are_not_taken_for_corners(tmp_path):
    """Wide boxes near the origin, where width and height exceed x and y, but all within the image."""
    coco = write_sound_set(tmp_path / 'set')
    for k, annotation in enumerate(coco['annotations']):
        del annotation['segmentation']
        annotation |= {'bbox': [k, k, 40, 40], 'area': 1600}
    assert 'box-corners' not in codes(check_everything(coco, Needs(CLASSES))[0])


def test_class_names_are_suggested(tmp_path):
    coco = write_sound_set(tmp_path / 'set')
    for category, name in zip(coco['categories'], ('pedestrian', 'Car', 'bycicle', 'plane'), strict=True):
        category['name'] = name
    problem = check_everything(coco, Needs(CLASSES))[0][0]
    assert "'pedestrian' is perhaps 'human', 'Car' is perhaps 'car', 'bycicle' is perhaps 'bicycle')" in problem.text
    assert 'plane' in problem.text and "perhaps 'uav'" not in problem.text


def slow_nearest(a: np.ndarray, b: np.ndarray) -> list[int]:
    """Best correlation over all pairs, with NumPy's own."""
    found = []
    for x in a:
        similar = [np.corrcoef(x.ravel().astype(float), y.ravel().astype(float))[0, 1] for y in b]
        found.append(int(np.argmax(similar)) if max(similar) >= 0.98 else -1)
    return found


def test_near_duplicates(monkeypatch):
    monkeypatch.setattr(near_duplicates, '_BLOCK', 3)  # several blocks
    images = [picture(i) for i in range(7)]
    rng = np.random.default_rng(1)
    jpeg = cv2.imdecode(cv2.imencode('.jpg', images[2], [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_GRAYSCALE)
    others = [
        picture(20),
        jpeg,
        images[5].astype(np.uint16) * 50 + 3000,  # the counts of an 8-bit picture
        cv2.resize(images[0], (128, 96)),
        255 - images[3],  # inverted: another image
        np.clip(images[4] + rng.normal(0, 3, images[4].shape), 0, 255).astype(np.uint8),
    ]
    a, b = (np.array([near_duplicates.thumbnail(image) for image in s]) for s in (others, images))
    position, _ = near_duplicates.nearest(a, b)
    assert position.tolist() == slow_nearest(a, b) == [-1, 2, 5, 0, -1, 4]
    both = np.concatenate([b, a])
    position, _ = near_duplicates.nearest(both, both, earlier_only=True)
    assert position.tolist() == [-1] * 8 + [2, 5, 0, -1, 4]


def test_copies_across_splits_are_found(tmp_path):
    sets = []
    for name, first in (('train', 1), ('val', 4)):  # image 4 of train is image 1 of val
        coco = write_sound_set(tmp_path / name)
        for i, image in enumerate(coco['images']):
            cv2.imwrite(str(tmp_path / name / 'images' / image['file_name']), picture(first + i))
        (tmp_path / name / 'annotations.json').write_text(json.dumps(coco))
        sets.append(check_data_set(from_file(tmp_path / name / 'annotations.json', CLASSES)))
    (problem,) = check_between(sets)
    assert (problem.code, problem.entries, worst(sets, [problem])) == ('near-duplicates-across', ('a.png',), 1)
    assert 'a.png ~ d.png' in problem.text


def test_images_that_two_parts_list(tmp_path):
    """By their names alone, whatever the spelling and without contrast; another folder's a.png is another image."""
    coco = write_sound_set(tmp_path / 'set')
    others = {image['id']: f'other{image["id"]}.png' for image in coco['images']}
    for name, first in (('train', 'a.png'), ('val', './a.png')):
        images = [image | {'file_name': f'{name}/{others[image["id"]]}'} for image in coco['images'][1:]]
        images = [coco['images'][0] | {'file_name': first}, *images]
        (tmp_path / 'set' / f'{name}.json').write_text(json.dumps({**coco, 'images': images}))
    files = [from_file(tmp_path / 'set' / f'{name}.json', CLASSES) for name in ('train', 'val')]
    sets = [check_data_set(file, read_images=False) for file in files]
    (problem,) = (problem for problem in check_between(sets) if problem.code != 'image-unlisted')
    assert (problem.code, problem.entries, worst(sets[:0], [problem])) == ('shared-images', ('./a.png',), 1)
    elsewhere = from_file(tmp_path / 'set' / 'val.json', CLASSES, tmp_path)
    sets[1] = check_data_set(elsewhere, read_images=False)
    assert 'shared-images' not in codes(check_between(sets))


def test_one_file_by_two_spellings(tmp_path):
    """The targets of a.png would be background in ./a.png; --fix makes one entry of the two."""
    coco = write_sound_set(tmp_path / 'set')
    number = len(coco['annotations'])
    coco['images'].append(coco['images'][0] | {'id': 99, 'file_name': './a.png'})
    coco['annotations'].append(coco['annotations'][0] | {'id': 99, 'image_id': 99, 'bbox': [1, 1, 9, 9]})
    path = tmp_path / 'set' / 'annotations.json'
    path.write_text(json.dumps(coco))
    assert 'duplicate-file-name' in codes(check_data_set(from_file(path, CLASSES), read_images=False).problems)
    repaired, _ = repair(coco, CLASSES)
    assert [image['file_name'] for image in repaired['images']] == ['a.png', 'b.png', 'c.png', 'd.png']
    assert len(repaired['annotations']) == number + 1 and repaired['annotations'][-1]['image_id'] == 11


def test_jpeg_that_opencv_reads_but_is_cut_off(tmp_path, monkeypatch):
    """Older versions of OpenCV fill the missing rest with grey."""
    content = cv2.imencode('.jpg', picture(1))[1].tobytes()
    (tmp_path / 'a.jpg').write_bytes(content[:-300])
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: picture(1))
    assert 'no end of the JPEG data' in read_picture(tmp_path / 'a.jpg').detail
    (tmp_path / 'a.jpg').write_bytes(content + b'\0\0')
    assert read_picture(tmp_path / 'a.jpg').fault == ''


def test_stacks_and_other_fields_for_the_file(tmp_path):
    """Pages of one stack are no duplicates; ``image_key`` names the file that is read."""
    coco = write_sound_set(tmp_path / 'set')
    np.save(tmp_path / 'set' / 'images' / 'stack.npy', np.stack([picture(i) * 7.0 for i in range(4)]))
    for page, image in enumerate(coco['images']):
        image |= {'counts': 'stack.npy', 'page': page}
    path = tmp_path / 'set' / 'annotations.json'
    path.write_text(json.dumps(coco))
    assert check_data_set(from_file(path, CLASSES, image_key='counts')).problems == []
    coco['images'][1]['page'] = 0
    del coco['images'][2]['counts']
    path.write_text(json.dumps(coco))
    assert codes(check_data_set(from_file(path, CLASSES, image_key='counts')).problems)[:2] == [
        'image-key',
        'duplicate-file-name',
    ]


def test_data_sets_of_a_config(tmp_path):
    for split in ('train', 'val'):
        coco = write_sound_set(tmp_path / split)
        (tmp_path / split / 'annotations.json').write_text(json.dumps(coco))
    polygons = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True, 'poly2mask': False}
    train = {
        'type': 'IRDataset',
        'data_root': str(tmp_path),
        'ann_file': 'train/annotations.json',
        'data_prefix': {'img': 'train/images'},
        'pipeline': [polygons],
    }
    val = train | {
        'ann_file': 'val/annotations.json',
        'data_prefix': {'img': 'val/images'},
        'pipeline': [],
        'metainfo': {'classes': ['car', 'uav']},
    }
    cfg = Config(
        {
            'train_dataloader': {'dataset': {'type': 'ClassBalancedDataset', 'dataset': train}},
            'val_dataloader': {'dataset': val},
            'test_dataloader': {'dataset': val},
            'val_evaluator': {'type': 'IRCocoMetric', 'ann_file': str(tmp_path / 'val' / 'annotations.json')},
            'test_evaluator': [{'type': 'IRCocoMetric', 'ann_file': str(tmp_path / 'train' / 'annotations.json')}],
        }
    )
    first, second = from_config(cfg)
    assert (first.path, first.splits) == (tmp_path / 'train' / 'annotations.json', ('train',))
    assert first.needs == Needs(CLASSES, True, False, 'file_name', tmp_path / 'train' / 'images')
    assert second.splits == ('val', 'test')
    assert (tuple(second.needs.classes), second.needs.masks) == (('car', 'uav'), False)
    assert codes(second.problems) == ['evaluator-file']
    found = check_data_set(DataSet(second.path, second.needs, second.splits, second.problems)).problems
    assert codes(found) == ['evaluator-file', 'class-left-out']
    with pytest.raises(ValueError, match='expected a data set with ann_file'):
        from_config(Config({'train_dataloader': None}))


@pytest.mark.parametrize('masks', [None, True])
def test_ignored_regions_need_masks_as_well(tmp_path, masks):
    """A data set with masks refuses the file, so both ways to check it have to tell."""
    coco = write_sound_set(tmp_path)
    coco['annotations'][1].update(iscrowd=1, segmentation=[])
    (tmp_path / 'a.json').write_text(json.dumps(coco))
    found = [p for p in check_everything(coco, Needs(CLASSES, masks))[0] if p.code == 'mask-missing']
    assert [(p.severity, p.entries) for p in found] == [('warning' if masks is None else 'error', (2,))]
    with pytest.raises(ValueError, match='no "segmentation", but the pipeline loads masks; ids: 2'):
        build(tmp_path / 'a.json')


def test_temperatures_are_read_as_the_config_loads_them(tmp_path, monkeypatch):
    """The thermal data of an R-JPEG are of another size than its picture, which is what the annotations are of."""
    coco = write_sound_set(tmp_path)
    seen = []

    def temperatures(content, path, settings=None):
        seen.append(settings)
        return np.random.default_rng(int.from_bytes(content[-9:-2], 'big')).random((48, 64), np.float32)

    monkeypatch.setattr(infrared_io, '_read_rjpeg', temperatures)
    for number, image in enumerate(coco['images']):
        image['file_name'] = f'{image["id"]}.jpg'
        name = str(tmp_path / 'images' / image['file_name'])
        cv2.imwrite(name, np.random.default_rng(number).integers(0, 255, (96, 128), np.uint8))
    (tmp_path / 'a.json').write_text(json.dumps(coco))
    load = {'type': 'LoadIRImageFromFile', 'channels': 1, 'raw': True, 'rjpeg': 'celsius'}
    dataset = {
        'type': 'IRDataset',
        'ann_file': str(tmp_path / 'a.json'),
        'data_prefix': {'img': str(tmp_path / 'images')},
    }
    settings = {'emissivity': 0.9}
    dataset['pipeline'] = [load | {'rjpeg_settings': settings}]
    (celsius,) = from_config(Config({'val_dataloader': {'dataset': dataset}}))
    assert 'size-mismatch' not in codes(check_data_set(celsius).problems)
    assert seen == [settings] * 4
    dataset['pipeline'] = [load | {'rjpeg': 'picture'}]
    (pictures,) = from_config(Config({'val_dataloader': {'dataset': dataset}}))
    assert 'size-mismatch' in codes(check_data_set(pictures).problems)
    unknown = copy.deepcopy(coco)
    for image in unknown['images']:
        image.update(width=0, height=0)
    needs = celsius.needs
    assert repair(unknown, needs.classes, needs.folder, needs.image_key, needs.settings)[0]['images'] == coco['images']


def test_the_tool(tmp_path, monkeypatch, capsys):
    """Exit code, JSON with all entries, and a repaired copy beside an untouched original."""
    coco = write_sound_set(tmp_path / 'set')
    for annotation in coco['annotations'][:2]:
        annotation['area'] = 0
    path, out, report = tmp_path / 'set' / 'a.json', tmp_path / 'fixed.json', tmp_path / 'report.json'
    path.write_text(json.dumps(coco))
    before = path.read_bytes()
    tool = str(Path(__file__).parents[3] / 'tools' / 'data' / 'validate.py')
    options = ['--images', str(tmp_path / 'set' / 'images'), '--out', str(report), '--fix', str(out)]
    monkeypatch.setattr(sys, 'argv', [tool, str(path), *options])
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with pytest.raises(SystemExit, match='2'):
        runpy.run_path(tool, run_name='__main__')
    printed = capsys.readouterr().out
    assert '2 annotations have an "area" of 0 or less; ids: 1, 2' in printed
    assert 'no errors or warnings are left' in printed
    content = json.loads(report.read_text())
    (problem,) = content['data_sets'][0]['problems']
    assert (content['exit_code'], problem['entries'], problem['kind']) == (2, [1, 2], 'annotation')
    assert path.read_bytes() == before
    assert [a['area'] for a in json.loads(out.read_text())['annotations']] == [620, 640, 660, 680]
    with pytest.raises(SystemExit, match='2'):  # the output exists by now
        runpy.run_path(tool, run_name='__main__')
    assert f'expected a file that does not exist yet, got {out}' in capsys.readouterr().err
    monkeypatch.setattr(sys, 'argv', [tool, str(out), '--images', str(tmp_path / 'set' / 'images')])
    with pytest.raises(SystemExit, match='0'):
        runpy.run_path(tool, run_name='__main__')
    monkeypatch.setattr(sys, 'argv', [tool, str(path), '--out', str(tmp_path / 'set' / '..' / 'set' / 'a.json')])
    with pytest.raises(SystemExit, match='2'):  # the report would replace the file
        runpy.run_path(tool, run_name='__main__')
    assert 'a.json is one of the inputs; expected another file for the report' in capsys.readouterr().err
    assert path.read_bytes() == before


def test_what_is_left_after_a_repair_is_told(tmp_path, monkeypatch, capsys):
    """A broken picture stays broken, whatever becomes of the annotations."""
    coco = write_sound_set(tmp_path / 'set')
    coco['annotations'][0]['area'] = 0
    (tmp_path / 'set' / 'a.json').write_text(json.dumps(coco))
    (tmp_path / 'set' / 'images' / 'b.png').write_text('no picture')
    cv2.imwrite(str(tmp_path / 'set' / 'images' / 'c.png'), picture(3)[:40])
    tool = str(Path(__file__).parents[3] / 'tools' / 'data' / 'validate.py')

    def printed(*options: str) -> str:
        monkeypatch.setattr(sys, 'argv', [tool, str(tmp_path / 'set' / 'a.json'), *options])
        with pytest.raises(SystemExit, match='2'):
            runpy.run_path(tool, run_name='__main__')
        return capsys.readouterr().out.split('repaired copy of')[1]

    text = printed('--fix', str(tmp_path / 'fixed.json'))
    assert 'left: error image-unreadable' in text and 'left: error size-mismatch' in text and 'are left' not in text
    text = printed('--fix', str(tmp_path / 'quick.json'), '--no-images')
    assert 'no errors or warnings are left (image files were not opened)' in text


def test_polygons_are_clipped_with_their_boxes(tmp_path):
    """All pixels of the image stay; nothing sticks out afterwards. The oracle draws on a larger canvas."""
    coco = write_sound_set(tmp_path)
    width, height = coco['images'][0]['width'], coco['images'][0]['height']
    outlines = [
        [-8, 5, 20, -6, 24, 30, -3, 22],
        [width - 12, 10, width + 9, 14, width - 4, 20, width + 7, 26, width - 15, 31],  # leaves twice
        [10, height - 9, 30, height - 11, 22, height + 12],
        [15, 12, 30, 12, 30, 28],  # inside: stays as it is
    ]
    for annotation, outline in zip(coco['annotations'], outlines, strict=True):
        x, y = outline[::2], outline[1::2]
        box = [min(x), min(y), max(x) - min(x), max(y) - min(y)]
        annotation.update(segmentation=[outline], bbox=box, area=shapely.Polygon(np.reshape(outline, (-1, 2))).area)
    before = codes(check_everything(coco, Needs(CLASSES, True))[0])
    assert 'mask-out-of-bounds' in before and 'mask-beyond-box' not in before
    fixed, done = repair(coco)
    assert codes(check_everything(fixed, Needs(CLASSES, True))[0]) == []
    assert '3 annotations: polygons clipped to their image, as the boxes; ids: 1, 2, 3' in done
    assert fixed['annotations'][3] == coco['annotations'][3]
    for old, new in zip(coco['annotations'], fixed['annotations'], strict=True):
        polygons = new['segmentation']
        moved = [[value + 20 for value in old['segmentation'][0]]]
        canvas = mask_utils.decode(mask_utils.frPyObjects(moved, height + 40, width + 40))[..., 0]
        drawn = mask_utils.decode(mask_utils.frPyObjects(polygons, height, width)).any(axis=2)
        assert np.count_nonzero(drawn != canvas[20:-20, 20:-20]) <= 0.02 * drawn.sum()
        whole = shapely.Polygon(np.reshape(old['segmentation'][0], (-1, 2)))
        inside = whole.intersection(shapely.box(0, 0, width, height)).area
        assert sum(shapely.Polygon(np.reshape(p, (-1, 2))).area for p in polygons) == pytest.approx(inside)


def test_outlines_that_cross_themselves_are_clipped_and_not_lost():
    """A bow tie around the left border: its two halves have areas of opposite signs."""
    (bow, *rest) = clip_polygons([[-5, 0, 10, 10, 10, 0, -5, 10]], 20, 20)
    drawn = mask_utils.decode(mask_utils.frPyObjects([bow, *rest], 20, 20)).any(axis=2)
    whole = mask_utils.decode(mask_utils.frPyObjects([[5, 0, 20, 10, 20, 0, 5, 10]], 20, 40))[:, 10:30, 0]
    assert min(bow) >= 0 and np.count_nonzero(drawn != whole) <= 4
    assert clip_polygons([[-9, -9, -3, -3, -9, -3]], 20, 20) == []


def test_clicks_out_of_order_do_not_grow_the_mask():
    """Random outlines over the left border with two neighbouring points exchanged; the oracle has a larger canvas."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        points = np.stack([4 + 9 * np.cos(angles), 20 + 9 * np.sin(angles)], axis=1) + rng.uniform(-2, 2, (9, 2))
        points[[3, 4]] = points[[4, 3]]
        parts = clip_polygons([points.ravel().tolist()], 40, 40)
        drawn = mask_utils.decode(mask_utils.frPyObjects(parts, 40, 40)).any(axis=2)
        canvas = mask_utils.decode(mask_utils.frPyObjects([(points + 20).ravel().tolist()], 80, 80))[..., 0]
        assert np.count_nonzero(drawn != canvas[20:60, 20:60]) <= 12  # (pixels on the outline)
        assert min(min(part) for part in parts) >= 0
    keyhole = [-5, 2, 20, 2, 20, 11, 15, 11, 15, 8, 8, 8, 8, 14, 15, 14, 15, 11, 20, 11, 20, 20, -5, 20]
    drawn = mask_utils.decode(mask_utils.frPyObjects(clip_polygons([keyhole], 30, 30), 30, 30)).any(axis=2)
    assert drawn.sum() == 18 * 20 - 6 * 7 and not drawn[10, 10]
    twice = [[-5, 2, 20, 2, 20, 20, -5, 20], [0, 0, 10, 10, -10, -10]]  # the second one is a line
    assert len(clip_polygons(twice, 40, 40)) == 1


def test_the_table_in_the_documentation_is_not_stale(tmp_path):
    document = broken_inputs.DOC.read_text()
    assert document == broken_inputs.replaced(document, broken_inputs.render(tmp_path))
    assert len(CASES) >= 40 and len({case.name for case in CASES}) == len(CASES)
    assert {case.training for case in CASES} == {REFUSED, UNREADABLE, SAID, TRAINS}
