import json
import math
from pathlib import Path

from mmdet_ir.datasets.converters import Options, parse_classes
from mmdet_ir.datasets.converters.class_names import DEFAULT_CLASSES, class_of, target_classes
from mmdet_ir.datasets.converters.images import name_in_set, resolve_inside
from mmdet_ir.datasets.converters.masks import decode_rle, polygons_fault, to_segmentation
from mmdet_ir.datasets.converters.records import Instance, Record, split_of, write_records
from mmdet_ir.datasets.converters.report import ConversionReport
from mmdet_ir.datasets.images.files import grey_levels, is_eight_bit

import cv2
import numpy as np
import pytest
import shapely
from pycocotools import mask as mask_utils

# --------------------------------------------------------------------------------------------------- class names


def test_class_names():
    assert parse_classes(['human=person, Pedestrian', 'ship=vessel']) == {
        'person': 'human',
        'pedestrian': 'human',
        'vessel': 'ship',
    }
    assert class_of(' PERSON', DEFAULT_CLASSES) == 'human'
    assert class_of('other vehicle', DEFAULT_CLASSES) is None and class_of('people', DEFAULT_CLASSES) is None
    # The project's four in the project's order where they suffice, else those of the user.
    assert target_classes({'a': 'car', 'b': 'human'}) == ('human', 'car', 'bicycle', 'uav')
    assert target_classes({'a': 'ship', 'b': 'human', 'c': 'ship'}) == ('ship', 'human')


@pytest.mark.parametrize('entry', ['human', 'human=', '=person', 'human=person,,rider'])
def test_class_names_refused(entry):
    with pytest.raises(ValueError, match=f"expected class=name,name,.* got '{entry}'"):
        parse_classes([entry])


def test_a_name_has_one_class():
    with pytest.raises(ValueError, match="one class for the name 'Person', got 'human' and 'car'"):
        parse_classes(['human=person', 'car=Person'])


# --------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    'name',
    [
        '../x.png',
        '../../etc/passwd',
        '..\\..\\x.png',
        'a/../../../x.png',
        '/etc/passwd',
        'C:\\x.png',
        '\\\\host\\x',
        '\\x.png',
        '',
        '  ',
        'a\0.png',
        None,
        7,
    ],
)
def test_names_that_leave_the_source(name, tmp_path):
    with pytest.raises(ValueError, match='here: expected a file'):
        resolve_inside(tmp_path, tmp_path, name, 'here')


def test_names_that_stay_inside(tmp_path):
    folder = tmp_path / 'labels'
    assert resolve_inside(tmp_path, folder, '..\\images\\x.png', '') == tmp_path / 'images' / 'x.png'
    assert resolve_inside(tmp_path, folder, './a/../b.png', '') == folder / 'b.png'
    assert resolve_inside(tmp_path, folder, '..x.png', '') == folder / '..x.png'
    # A folder whose name begins alike is another folder.
    with pytest.raises(ValueError, match='leads out of it'):
        resolve_inside(tmp_path / 'a', tmp_path / 'a', '../ab/x.png', '')
    assert resolve_inside(Path('data'), Path('data/labels'), '../x.png', '') == Path('data/x.png')
    assert name_in_set(Path('./data'), Path('data/images/a/x.png')) == 'a/x.png'
    assert name_in_set(Path('data'), Path('data/train/images/x.png')) == 'train/images/x.png'


def test_split_of():
    folders = [('labels', 'Train'), ('validation',), ('b', 'test', 'train'), ('trains',), ()]
    assert [split_of(names) for names in folders] == ['train', 'val', 'test', 'all', 'all']


# --------------------------------------------------------------------------------------------------- images


def test_eight_bit_in_disguise():
    levels = np.arange(256).reshape(16, 16)
    for factor, expected in ((1, True), (256, True), (257, True), (2, False), (250, False)):
        assert is_eight_bit((levels * factor).astype(np.uint16)) is expected
    assert is_eight_bit(levels.astype(np.uint8))
    assert not is_eight_bit((levels + 7000).astype(np.uint16))
    assert not is_eight_bit(levels.astype(np.float32))


def test_grey_levels():
    counts = np.full((100, 100), 7000, np.uint16)
    counts[:, 50:] = 7200
    counts[0, 0], counts[0, 1] = 0, 16383  # dead pixels do not count
    grey = grey_levels(counts)
    assert (grey[5, 5], grey[5, 95]) == (0, 255)
    colour = np.zeros((4, 5, 3), np.uint8) + np.array([30, 60, 90], np.uint8)
    assert grey_levels(colour)[0, 0] == 60 and grey_levels(colour).shape == (4, 5)


# --------------------------------------------------------------------------------------------------- masks


def random_mask(seed: int, height: int = 13, width: int = 17) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.random((5, 6)), (width, height)) > 0.55


def uncompressed(mask: np.ndarray) -> dict:
    """RLE run by run."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return {'size': list(mask.shape), 'counts': runs}


@pytest.mark.parametrize('seed', range(8))
def test_rle_as_pycocotools_reads_it(seed):
    mask = random_mask(seed)
    mask[0, 0] = seed % 2  # both beginnings
    compressed = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    text = {'size': compressed['size'], 'counts': compressed['counts'].decode()}
    for rle in (uncompressed(mask), compressed, text):
        np.testing.assert_array_equal(decode_rle(rle, 17, 13), mask)
    assert mask_utils.decode(mask_utils.frPyObjects(uncompressed(mask), 13, 17)).sum() == mask.sum()


@pytest.mark.parametrize(
    ('rle', 'message'),
    [
        ({'size': [4, 5], 'counts': [3, 4]}, 'do not add up'),
        ({'size': [4, 5], 'counts': [3, 18]}, 'do not add up'),
        ({'size': [4, 5], 'counts': [25, -5]}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': [3.5, 16.5]}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': ['20']}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': [True, 19]}, 'are damaged, or no whole numbers'),
        ({'size': [4, 5], 'counts': []}, 'are damaged'),
        ({'size': [4, 5], 'counts': None}, 'are damaged'),
        ({'size': [4, 5]}, 'are damaged'),
        ({'size': [5, 4], 'counts': [20]}, 'another size'),
        ({'counts': [20]}, 'another size'),
        ({'size': [4, 5], 'counts': ''}, 'are damaged'),
        ({'size': [4, 5], 'counts': '0'}, 'do not add up'),  # pycocotools returns memory as it finds it
        ({'size': [4, 5], 'counts': 'ooooooooooooooo'}, 'damaged'),
        ({'size': [4, 5], 'counts': 'P'}, 'damaged'),
        ({'size': [4, 5], 'counts': 'd\x80'}, 'damaged'),
    ],
)
def test_invalid_rle(rle, message):
    with pytest.raises(ValueError, match=message):
        decode_rle(rle, 5, 4)


def decode(segmentation, height: int, width: int) -> np.ndarray:
    rle = (
        segmentation
        if isinstance(segmentation, dict)
        else mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    )
    return mask_utils.decode(rle).astype(bool)


def test_mask_without_and_with_a_hole():
    mask = np.zeros((13, 17), bool)
    mask[2:8, 3:9] = True
    mask[10:12, 12:16] = True
    whole = to_segmentation(mask, 17, 13, False)
    assert len(whole.segmentation) == 2 and whole.area == 36 + 8 and whole.box == [3, 2, 13, 10]
    np.testing.assert_array_equal(decode(whole.segmentation, 13, 17), mask)
    mask[4:6, 5:7] = False
    ring = to_segmentation(mask, 17, 13, False)
    assert isinstance(ring.segmentation, dict) and ring.area == 32 + 8
    np.testing.assert_array_equal(decode(json.loads(json.dumps(ring.segmentation)), 13, 17), mask)
    assert to_segmentation(mask, 17, 13, True)[:2] == whole[:2]
    with pytest.raises(ValueError, match='mask without a pixel'):
        to_segmentation(np.zeros((13, 17), bool), 17, 13, False)


def test_polygons_inside_stay_and_those_outside_are_cut():
    inside = [[10.25, 5.0, 20.0, 5.0, 20.0, 25.5]]
    kept = to_segmentation(inside, 60, 40, False)
    assert kept.segmentation is inside and kept.box == [10.25, 5, 9.75, 20.5]
    assert kept.area == pytest.approx(shapely.Polygon(np.reshape(inside[0], (-1, 2))).area, abs=15)
    # A diamond about a corner of the image, of which a quarter is inside; clamped points would give a square.
    cut = to_segmentation([[60, 20, 80, 40, 60, 60, 40, 40]], 60, 40, False)
    truth = shapely.Polygon([(60, 20), (80, 40), (60, 60), (40, 40)]) & shapely.box(0, 0, 60, 40)
    assert truth.area == 200 and cut.area == pytest.approx(200, abs=12)
    assert cut.box == pytest.approx([40, 20, 20, 20], abs=1)
    for polygon, message in (
        ([70, 5, 80, 5, 80, 9], 'without a pixel'),
        ([5, 5, 1e9, 5, 5, 9], 'leaves the image by more than its size'),
        ([5, 5, 9, 5, -61, 9], 'leaves the image by more than its size'),
        ([5.1, 5.1, 5.2, 5.1, 5.2, 5.2], 'without a pixel'),
    ):
        with pytest.raises(ValueError, match=message):
            to_segmentation([polygon], 60, 40, False)


@pytest.mark.parametrize(
    ('polygons', 'fault'),
    [
        ([], 'no polygon'),
        ('text', 'no polygon'),
        ([[1, 2, 3, 4]], 'polygon with fewer than 3 points'),
        ([[1, 2, 3, 4, 5, 6], []], 'polygon with fewer than 3 points'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'polygon with an odd number of coordinates'),
        ([[1, 2, 3, 4, 5, math.nan]], 'polygon that is not a list of finite numbers'),
        ([[1, 2, 3, 4, 5, '6']], 'polygon that is not a list of finite numbers'),
        ([1, 2, 3, 4, 5, 6], 'polygon that is not a list of finite numbers'),
        ([[1, 2, 3, 4, 5, 6]], ''),
    ],
)
def test_polygon_faults(polygons, fault):
    assert polygons_fault(polygons) == fault


# --------------------------------------------------------------------------------------------------- records


def make_records(folder: Path, items: list[Instance], count: int = 1) -> list[Record]:
    records = []
    for k in range(count):
        image = np.full((40, 60), 90, np.uint8)
        image[10:20, 12:18] = 200
        cv2.imwrite(str(folder / f'{k}.png'), image)
        labels = [item.name for item in items]
        records.append(Record(folder / f'{k}.png', f'{k}.png', 'train', f'file {k}', labels, lambda w, h: items))
    return records


def test_every_object_is_accounted_for(tmp_path):
    items = [
        Instance('person', 'a', [12, 10, 6, 10]),
        Instance('person', 'b', [12, 10, 0, 10]),
        Instance('person', 'c', [12, 10, -3, 10]),
        Instance('person', 'd', [70, 10, 5, 5]),
        Instance('person', 'e', [12, 10, math.nan, 5]),
        Instance('person', 'f', 'box'),
        Instance('person', 'g', fault='broken'),
        Instance('car', 'h', [55, 30, 10, 20]),
        Instance('dog', 'i', [1, 1, 5, 5]),
        Instance('bike', 'j', [20, 20, 4, 4], ignore=True),
        Instance('Car', 'k', mask=[[30, 10, 50, 10, 50, 22, 30, 22]]),
    ]
    records = make_records(tmp_path, items, 2)
    records[1].path = tmp_path / 'missing.png'
    report = write_records(records, tmp_path / 'out', 'test', Options(), ConversionReport())
    assert report.read == {'person': 14, 'car': 2, 'dog': 2, 'bike': 2, 'Car': 2}
    assert report.written['train'] == {'human': 1, 'car': 2} and report.ignored['train'] == {'bicycle': 1}
    assert report.unmapped == {'dog': 1}
    assert report.dropped == {
        'person: box without width or height': 2,
        'person: box outside the image or under 1 pixel': 1,
        'person: box that is not four finite numbers': 2,
        'person: broken': 1,
        'person: its image is left out': 7,
        'car: its image is left out': 1,
        'dog: its image is left out': 1,
        'bike: its image is left out': 1,
        'Car: its image is left out': 1,
    }
    written = sum(report.written['train'].values()) + sum(report.ignored['train'].values())
    assert report.read.total() == written + report.unmapped.total() + report.dropped.total() == 22
    text = str(report)
    assert 'left out, no class for them (--classes): dog 1' in text
    assert 'dropped, person: box without width or height: 2\n    b\n    c' in text
    assert 'missing.png; 11 objects left out with it' in text
    assert 'no mask: bicycle 1, car 1, human 1 (boxes only; --derive-masks makes masks for them)' in text
    coco = json.loads((tmp_path / 'out/annotations/train.json').read_text())
    assert [(a['bbox'], a['area'], a['iscrowd'], a['category_id']) for a in coco['annotations']] == [
        ([12, 10, 6, 10], 60, 0, 1),
        ([55, 30, 5, 10], 50, 0, 2),
        ([20, 20, 4, 4], 16, 1, 3),
        ([30, 10, 20, 12], 240, 0, 2),
    ]
    assert [a.get('mask_source') for a in coco['annotations']] == [None, None, None, 'annotated']
    assert sorted(p.name for p in (tmp_path / 'out').rglob('*.*')) == ['0.png', 'train.json']


def test_masks_are_derived_only_on_request_and_marked(tmp_path):
    items = [Instance('person', 'a', [11, 9, 8, 12]), Instance('car', 'b', [30, 20, 20, 10])]
    records = make_records(tmp_path, items)
    report = write_records(records, tmp_path / 'out', 'test', Options(derive_masks=True), ConversionReport())
    person, car = json.loads((tmp_path / 'out/annotations/train.json').read_text())['annotations']
    assert (person['mask_source'], person['mask_method'], person['area']) == ('derived', 'threshold', 60)
    assert decode(person['segmentation'], 40, 60)[10:20, 12:18].all()
    assert (car['mask_source'], car['mask_method'], car['area']) == ('derived', 'oriented_box', 200)
    assert report.methods == {('human', 'threshold'): 1, ('car', 'oriented_box'): 1} and not report.boxes_only


def test_source_images_are_never_changed_and_symlinks_become_files(tmp_path):
    records = make_records(tmp_path, [Instance('car', 'a', [1, 1, 9, 9])])
    (tmp_path / 'store').mkdir()
    (tmp_path / '0.png').rename(tmp_path / 'store/real.png')
    (tmp_path / '0.png').symlink_to('store/real.png')
    write_records(records, tmp_path / 'out', 'test', Options(), ConversionReport())
    copy = tmp_path / 'out/images/0.png'
    assert not copy.is_symlink() and copy.read_bytes() == (tmp_path / 'store/real.png').read_bytes()


def test_nothing_left_is_an_error_and_leaves_nothing_behind(tmp_path):
    records = make_records(tmp_path, [Instance('dog', 'a', [1, 1, 9, 9])])
    with pytest.raises(ValueError, match=r"no object left to write: classes of the source are \['dog'\]; .*--classes"):
        write_records(records, tmp_path / 'out', 'test', Options(), ConversionReport())
    records[0].read = lambda width, height: []
    with pytest.raises(ValueError, match='none of the 1 images has an object'):
        write_records(records, tmp_path / 'out', 'test', Options(), ConversionReport())
    records[0].size = (61, 40)
    with pytest.raises(
        ValueError,
        match=r'no usable image; 1 skipped; the first: .*0.png: expected width and height '
        r'\(61, 40\) as in file 0, got \(60, 40\)',
    ):
        write_records(records, tmp_path / 'out', 'test', Options(), ConversionReport())
    assert [p.name for p in tmp_path.iterdir()] == ['0.png']


def test_images_that_do_not_load(tmp_path):
    records = make_records(tmp_path, [Instance('car', 'a', [1, 1, 9, 9])], 5)
    whole = records[1].path.read_bytes()
    records[1].path.write_bytes(whole[: len(whole) * 2 // 3])
    records[2].path.write_bytes(b'')
    for record, values in ((records[3], [7000.0, np.nan]), (records[4], [7000, 8000])):
        record.path = record.path.with_suffix('.npy')
        np.save(record.path, np.resize(values, (40, 60)))
        record.name = record.path.name
    report = write_records(records, tmp_path / 'out', 'test', Options(derive_masks=True), ConversionReport())
    assert sorted(p.name for p in (tmp_path / 'out/images').iterdir()) == ['0.png', '4.npy']
    for line, message in zip(
        report.skipped,
        ('1.png: damaged, cut off', '2.png: the file is empty', '3.npy: 1200 of 2400 values are NaN'),
        strict=True,
    ):
        assert message in line and line.endswith('; 1 objects left out with it')


def test_an_image_occurs_once(tmp_path):
    records = make_records(tmp_path, [Instance('car', 'a', [1, 1, 9, 9])]) * 2
    report = write_records(records, tmp_path / 'out', 'test', Options(), ConversionReport())
    assert report.images == {'train': 1} and report.written['train'] == {'car': 1}
    assert report.skipped == ['file 0: the image 0.png has occurred before; 1 objects left out with it']
