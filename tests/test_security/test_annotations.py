"""Annotation files that would crash C code, fill the memory or lead out of their folder are refused by name."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import mmdet_ir  # noqa: F401  (first: mmdet cannot be imported without it)
from mmdet_ir.analysis.errors.comparison import compare_files
from mmdet_ir.apis.derive_masks import derive_masks
from mmdet_ir.datasets.coco_files import CLASSES, link_or_copy, read_coco
from mmdet_ir.datasets.coco_merge import merge_data_sets
from mmdet_ir.datasets.validation.data_sets import from_file
from mmdet_ir.datasets.validation.problem import shown
from mmdet_ir.datasets.validation.repairs.repair import NestedTooDeeplyError, repair
from mmdet_ir.datasets.validation.report import check_data_set
from mmdet_ir.evaluation import IRCocoMetric, mask_data, measure
from mmdet_ir.evaluation.detections import read_detections
from mmdet_ir.fileio import read_json
from mmdet_ir.stress.fuzz import load_data_set
from mmdet_ir.stress.sound_set import ANNOTATIONS, HEIGHT, WIDTH, sound_set

import pytest
from mmdet.registry import DATASETS
from payloads import as_legacy, forms

SIZE = [HEIGHT, WIDTH]
MASKS = {
    'counts of garbage': {'size': SIZE, 'counts': 'oooooooooo'},
    'an open last number': {'size': SIZE, 'counts': 'X'},
    'too many pixels': {'size': SIZE, 'counts': [0, 2**31]},
    'too few pixels': {'size': SIZE, 'counts': [0, 5]},
    'a negative run': {'size': SIZE, 'counts': [-5, WIDTH * HEIGHT + 5]},
    'a run beyond 64 bits': {'size': SIZE, 'counts': [2**64, 5]},
    'no ASCII': {'size': SIZE, 'counts': '\u00e9\u4e2d'},
    'a huge size': {'size': [10**6, 10**6], 'counts': [10**12]},
    'a size beyond 64 bits': {'size': [2**63, 2**63], 'counts': [1, 2]},
    'a negative size': {'size': [-HEIGHT, -WIDTH], 'counts': [0, WIDTH * HEIGHT]},
    'far coordinates': [[0, 0, 1e9, 0, 1e9, 1e9]],
    'coordinates beyond all': [[0, 0, 1e308, 0, 1e308, 1e308]],
    'a long outline': [[0, 0, 9e5, 0, 9e5, 9e5] * 9],
    'NaN': [[0, 0, float('nan'), 5, 5, 5]],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    sound_set(tmp_path / 'set')
    return tmp_path / 'set'


def change(root: Path, edit: Callable[[dict], object]) -> Path:
    path = root / ANNOTATIONS
    coco = json.loads(path.read_text())
    edit(coco)
    path.write_text(json.dumps(coco))
    return path


def test_the_sound_set_passes(root: Path) -> None:
    """Else the tests below would prove nothing."""
    assert load_data_set(root) == 'loaded'
    assert not [p for p in check_data_set(from_file(root / ANNOTATIONS, CLASSES)).problems if p.severity == 'error']
    assert len(read_coco(root / ANNOTATIONS, masks=True)['annotations']) == 14


@pytest.mark.parametrize('name', MASKS)
def test_masks_are_refused_before_pycocotools_sees_them(root: Path, name: str) -> None:
    path = change(root, lambda coco: coco['annotations'][3].update(segmentation=MASKS[name]))
    readers = [
        lambda: load_data_set(root),
        lambda: read_coco(path, masks=True),
        lambda: IRCocoMetric(str(path)),
        lambda: measure(path, root / 'none.json'),
        lambda: compare_files(path, root / 'images', {}),
    ]
    for read in readers:
        with pytest.raises(ValueError, match=r'train\.json: (.*\n)*.*annotations? .*4'):
            read()
    assert any(p.severity == 'error' for p in check_data_set(from_file(path, CLASSES)).problems)
    repair(read_json(path), CLASSES)  # which counts areas


def test_a_repair_does_not_rasterise_at_a_made_up_size(root: Path) -> None:
    """Found by fuzzing: pycocotools crashed at a height of 32 000 000 000."""
    path = change(root, lambda coco: coco['images'][3].update(height=32 * 10**9))
    done = repair(read_json(path), CLASSES)[0]
    assert [a['area'] for a in done['annotations'] if a['image_id'] == 3] == [11 * 12, 12 * 12]


@pytest.mark.parametrize(
    ('width', 'height'), [(10**6, 10**6), (2**31 - 1, 2**31 - 1), (2**63, 1), (1e400, 5), (-4, 4)]
)
def test_sizes_of_images_are_limited(root: Path, width: float, height: float) -> None:
    path = change(root, lambda coco: coco['images'][0].update(width=width, height=height))
    for read in (lambda: load_data_set(root), lambda: read_coco(path)):
        with pytest.raises(ValueError, match=r'train\.json: (.*\n)*.*image ids: 0'):
            read()


@pytest.mark.parametrize(
    'box', [[1e300, 1, 2, 2], [1, 1, 1e9, 2], [float('inf'), 1, 2, 2], [float('nan')] * 4, [1, 2]]
)
def test_boxes_are_limited(root: Path, box: list) -> None:
    change(root, lambda coco: coco['annotations'][0].update(bbox=box))
    with pytest.raises(ValueError, match=r'train\.json: .*boxes .*annotation ids: 1'):
        load_data_set(root)


TEXTS = {
    'nested beyond the parser': ('"year": 2025', f'"year": {"[" * 100_000}', 'not valid JSON'),
    'a key twice': ('"year": 2025', '"year": 1, "year": 2', "the key 'year' stands more than once"),
    'a number of 5000 digits': ('"year": 2025', f'"year": {"9" * 5000}', 'not valid JSON'),
    'infinite': ('"width": 40', '"width": 1e400', 'not a positive whole number'),
}


@pytest.mark.parametrize('name', TEXTS)
def test_odd_texts_are_refused(root: Path, name: str) -> None:
    old, new, message = TEXTS[name]
    path = root / ANNOTATIONS
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf'train\.json[: ].*({message})'):
        load_data_set(root)


def test_a_repair_refuses_what_it_cannot_copy(root: Path) -> None:
    """Found by fuzzing: the parser goes deeper than ``copy.deepcopy``."""
    nested = '[' * 600 + ']' * 600
    path = root / ANNOTATIONS
    path.write_text(path.read_text().replace('"year": 2025', f'"year": {nested}', 1))
    assert load_data_set(root) == 'loaded'
    with pytest.raises(NestedTooDeeplyError, match='nested too deeply'):
        repair(read_json(path), CLASSES)


@pytest.mark.parametrize('number', [{}, [], None, 1])
def test_a_repair_takes_ids_of_any_kind(root: Path, number: object) -> None:
    """Found by fuzzing: a dictionary as the id of an image whose size was to be mended."""
    path = change(root, lambda coco: coco['images'][1].update(id=number, width=str(WIDTH), height=str(HEIGHT)))
    repaired, done = repair(read_json(path), CLASSES)
    assert (repaired['images'][1]['width'], repaired['images'][1]['height']) == (WIDTH, HEIGHT)
    assert f'1 images: sizes written as whole numbers; ids: {number}' in done


def test_other_encodings_are_refused(root: Path) -> None:
    path = root / ANNOTATIONS
    path.write_bytes(path.read_text().replace('2025', '"\u00e9"').encode('latin-1'))
    with pytest.raises(ValueError, match=r'train\.json: expected text in UTF-8, got the byte 0xe9'):
        load_data_set(root)


def test_names_of_categories_are_text(root: Path) -> None:
    """Found by fuzzing: the repair took them for keys."""
    path = change(root, lambda coco: coco['categories'][3].update(name={}))
    with pytest.raises(ValueError, match=r'train\.json: (.*\n)*.*categories whose name is no text'):
        read_coco(path)
    repair(read_json(path), CLASSES)


def test_a_name_that_is_no_text_is_told_where_categories_have_targets(root: Path) -> None:
    """Found by fuzzing: a list as the name of a fifth category with the id of another, whose targets were counted."""
    change(root, lambda coco: coco['categories'].append({'id': coco['annotations'][0]['category_id'], 'name': []}))
    with pytest.raises(ValueError, match=r'train\.json: (.*\n)*.*categories whose name is no text'):
        load_data_set(root)


ESCAPES = [
    '../../etc/passwd',
    '/etc/passwd',
    '..\\..\\etc\\passwd',
    'C:\\x.png',
    '\\\\host\\x.png',
    'sub/../../x.png',
    'a.png\0',
    '\ud800.png',
    'a' * 300,
    '',
    '.',
    5,
]


@pytest.mark.parametrize('name', ESCAPES)
def test_names_stay_in_their_folder(root: Path, name: object, tmp_path: Path) -> None:
    path = change(root, lambda coco: coco['images'][2].update(file_name=name, other=name))
    expected = r'train\.json: .*image id 2: expected a file name inside the image folder'
    for read in (
        lambda: load_data_set(root),
        lambda: read_coco(path),
        lambda: merge_data_sets(tmp_path / 'merged', [root]),
        lambda: derive_masks(path, root / 'images', tmp_path / 'new.json', replace=True),
    ):
        with pytest.raises(ValueError, match=expected):
            read()
    assert 'file-name' in {p.code for p in check_data_set(from_file(path, CLASSES)).problems}
    assert not (tmp_path / 'merged').exists() and not (tmp_path / 'new.json').exists()


@pytest.mark.parametrize('name', ESCAPES)
def test_names_in_other_fields_stay_in_their_folder(root: Path, name: object, tmp_path: Path) -> None:
    path = change(root, lambda coco: [image.update(other=name) for image in coco['images']])
    expected = r'image id \d.*: expected a file name inside the image folder'
    with pytest.raises(ValueError, match=rf'train\.json, {expected}'):
        derive_masks(path, root / 'images', tmp_path / 'new.json', replace=True, image_key='other')
    with pytest.raises(ValueError, match=rf'train\.json, {expected}'):
        compare_files(path, root / 'images', {}, image_key='other')
    assert 'file-name' in {p.code for p in check_data_set(from_file(path, CLASSES, image_key='other')).problems}


def test_links_that_a_user_placed_are_followed(root: Path, tmp_path: Path) -> None:
    """A data folder is often a link, and so are images; a merged set must not hold links to somewhere."""
    os.replace(root / 'images', tmp_path / 'elsewhere')
    (root / 'images').symlink_to(tmp_path / 'elsewhere')
    os.replace(tmp_path / 'elsewhere' / 'a.png', tmp_path / 'far.png')
    (tmp_path / 'elsewhere' / 'a.png').symlink_to('../far.png')
    assert load_data_set(root) == 'loaded'
    (root / 'annotations' / 'val.json').write_text((root / ANNOTATIONS).read_text())
    with pytest.raises(ValueError, match='two parts share them'):
        merge_data_sets(tmp_path / 'merged', [root])
    for image in json.loads((root / ANNOTATIONS).read_text())['images'][:1]:
        link_or_copy(root / 'images' / image['file_name'], tmp_path / 'out' / image['file_name'])
    copied = tmp_path / 'out' / 'a.png'
    assert not copied.is_symlink() and copied.read_bytes() == (tmp_path / 'far.png').read_bytes()


@pytest.mark.parametrize('name', [n for n, mask in MASKS.items() if isinstance(mask, dict)])
@pytest.mark.parametrize('reader', ['measure', 'matching'])
def test_detections_are_checked_before_pycocotools_sees_them(root: Path, name: str, reader: str) -> None:
    coco = read_coco(root / ANNOTATIONS, masks=True)
    found = root / 'found.segm.json'
    sound = {'image_id': 0, 'category_id': 1, 'score': 0.5, 'segmentation': coco['annotations'][1]['segmentation']}
    read = {
        'measure': lambda: measure(root / ANNOTATIONS, found, extra=[]),
        'matching': lambda: read_detections(found, coco),
    }[reader]
    found.write_text(json.dumps([sound]))
    read()
    found.write_text(json.dumps([sound, {**sound, 'segmentation': MASKS[name]}]))
    with pytest.raises(ValueError, match=r'found\.segm\.json: 1 .*: 1$'):
        read()


@pytest.mark.parametrize(
    'entry',
    [
        {'image_id': [0]},
        {'category_id': {}},
        {'score': float('nan')},
        {'score': 'high'},
        {'segmentation': 5},
        {'segmentation': {'size': 5, 'counts': '0'}},
    ],
)
def test_entries_of_detections_are_checked(root: Path, entry: dict) -> None:
    coco = read_coco(root / ANNOTATIONS, masks=True)
    sound = {'image_id': 0, 'category_id': 1, 'score': 0.5, 'segmentation': coco['annotations'][1]['segmentation']}
    with pytest.raises(ValueError, match=r'detections: 1 .*: 0$'):
        mask_data.mask_data(coco, [{**sound, **entry}], {'human': 1})


def test_pickled_proposals_are_refused(root: Path, tmp_path: Path) -> None:
    """MMDetection's data sets unpickle ``proposal_file``."""
    (tmp_path / 'p.pkl').write_bytes(as_legacy(forms(tmp_path / 'owned')['plain']))
    settings = {'type': 'IRDataset', 'data_root': str(root), 'ann_file': ANNOTATIONS, 'pipeline': []}
    with pytest.raises(ValueError, match=r'proposal_file .*p\.pkl: refused'):
        DATASETS.build({**settings, 'data_prefix': {'img': 'images/'}, 'proposal_file': str(tmp_path / 'p.pkl')})
    assert not (tmp_path / 'owned').exists()


def test_messages_cannot_move_the_cursor() -> None:
    assert shown(['a\x1b[2Jb\n', 'c' * 300, 7]) == f'a\\x1b[2Jb\\n, {"c" * 200}..., 7'
