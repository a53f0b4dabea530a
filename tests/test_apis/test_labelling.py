"""To a labelling tool and back: what is drawn on a copy is what was there, and lies where it was in the counts."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.apis.labelling import labels_back, make_copies, write_prelabels
from mmdet_ir.apis.labelling.prelabels import FORMATS, polygons
from mmdet_ir.datasets.converters import convert_cvat_coco, convert_labelme, convert_yolo_seg
from mmdet_ir.datasets.converters.records import Options
from mmdet_ir.datasets.images.infrared_io import read_infrared
from mmdet_ir.visualization.overlay import FoundInstance

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

WIDTH, HEIGHT = 120, 90
CLASSES = ('fox', 'hot engine')


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two images of counts in folders, and a stack of two pages; values run from 7000 to 8000."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'recordings'
    (root / 'day').mkdir(parents=True)
    for name in ('day/a.png', 'day/b.tiff'):
        cv2.imwrite(str(root / name), rng.integers(7000, 8001, (HEIGHT, WIDTH)).astype(np.uint16))
    np.save(root / 'stack.npy', rng.integers(7000, 8001, (2, HEIGHT, WIDTH)).astype(np.uint16))
    return root


def instance(mask: np.ndarray, label: int = 0) -> FoundInstance:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y1, y2, x1, x2 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return FoundInstance(label, 0.9, (x1, y1, x2, y2), {}, int(mask.sum()), (int(x1), int(y1)), mask[y1:y2, x1:x2])


def blobs(seed: int) -> list[np.ndarray]:
    """A rectangle without a corner, an ellipse, and a target of two parts."""
    masks = np.zeros((3, HEIGHT, WIDTH), dtype=np.uint8)
    masks[0, 10 + seed : 30, 5:25] = 1
    masks[0, 10:20, 5:12] = 0  # (a rectangle that fills its box is a box to CVAT)
    cv2.ellipse(masks[1], (70, 30), (22, 11), 20.0 + seed, 0, 360, 1, -1)
    masks[2, 60:80, 20:40] = 1
    masks[2, 62:78, 50:60] = 1
    return [mask.astype(bool) for mask in masks]


def test_outlines_cover_the_masks_exactly() -> None:
    for seed in range(5):
        for mask in blobs(seed):
            parts = [part.ravel().tolist() for part in polygons(instance(mask))]
            drawn = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(parts, HEIGHT, WIDTH))).astype(bool)
            union = np.count_nonzero(drawn | mask)
            assert np.count_nonzero(drawn & mask) >= 0.95 * union
    square = np.zeros((HEIGHT, WIDTH), dtype=bool)
    square[10:20, 30:50] = True
    (corners,) = polygons(instance(square))
    assert sorted(map(tuple, corners)) == [(30, 10), (30, 20), (50, 10), (50, 20)]


def test_copies_have_one_window_and_a_manifest(recordings: Path, tmp_path: Path) -> None:
    manifest = make_copies(recordings, tmp_path / 'out')
    assert set(manifest['copies']) == {'day/a.png', 'day/b.png', 'stack_00000.png', 'stack_00001.png'}
    low, high = (manifest['tone_mapping'][key] for key in ('low', 'high'))
    assert low == pytest.approx(7005, abs=5) and high == pytest.approx(7997, abs=5)
    pixels = cv2.imread(str(tmp_path / 'out' / 'day' / 'b.png'), cv2.IMREAD_GRAYSCALE).astype(float)
    counts = read_infrared(recordings / 'day' / 'b.tiff').astype(float)
    np.testing.assert_allclose(pixels, np.clip((counts - low) / (high - low) * 255, 0, 255), atol=0.51)
    with pytest.raises(FileExistsError, match='--overwrite'):
        make_copies(recordings, tmp_path / 'out')


@pytest.mark.parametrize(
    ('method', 'settings', 'kept'),
    [
        ('detail', 'radius=4', '{"method": "detail", "radius": 4}'),
        ('clahe', 'tiles=4', '{"method": "clahe", "tiles": 4}'),
        ('percentile', 'low=0.5', '{"method": "percentile", "low": 0.5}'),
    ],
)
def test_whole_numbers_on_the_command_line_stay_whole(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, settings: str, kept: str
) -> None:
    """OpenCV takes no 4.0 for a number of tiles or pixels."""
    tool, out = Path(__file__).parents[2] / 'tools' / 'data' / 'label.py', tmp_path / 'out'
    command = ['label.py', 'copies', recordings, out, '--method', method, '--settings', settings]
    monkeypatch.setattr(sys, 'argv', [str(word) for word in command])
    runpy.run_path(str(tool), run_name='__main__')
    manifest = json.loads((out / 'manifest.json').read_text())
    assert json.dumps(manifest['tone_mapping']) == kept and len(manifest['copies']) == 4


def test_copies_of_different_depths(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One window suits 8 or 16 bits, never both; stretching each image suits all."""
    cv2.imwrite(str(recordings / 'day' / 'z.png'), np.arange(250, dtype=np.uint8).repeat(40).reshape(100, 100))
    told = r'got 16 bits \(.*\) and 8 bits \(.*z.png\); --method percentile'
    for settings in (None, {'low': 7000, 'high': 8000}):
        with pytest.raises(ValueError, match=told):
            make_copies(recordings, tmp_path / 'one', 'window', settings, overwrite=True)
    monkeypatch.setattr('mmdet_ir.apis.labelling.copies._SAMPLED', 1)  # (the other depth is not in the sample)
    with pytest.raises(ValueError, match='expected images of one depth for one window'):
        make_copies(recordings, tmp_path / 'two')
    assert not list(tmp_path.glob('one/*')) and not list(tmp_path.glob('two/*'))  # (the last image is the other one)
    assert len(make_copies(recordings, tmp_path / 'each', 'percentile')['copies']) == 5


def test_copies_are_no_recordings(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that an earlier run left inside the folder would be copied once more, as recordings of 8 bits."""
    first, told = make_copies(recordings, recordings / 'to_label'), []
    monkeypatch.setattr('mmdet_ir.datasets.images.files.print_log', lambda text, logger: told.append(text))
    for method in ('window', 'percentile'):
        again = make_copies(recordings, tmp_path / method, method)
        assert again['copies'].keys() == first['copies'].keys()
    assert told == [f'{recordings}: left out: {recordings}/to_label (copies that were made earlier)'] * 2
    (recordings / 'day' / 'manifest.json').write_text('{"of": "another program"}')
    assert make_copies(recordings, tmp_path / 'more')['copies'].keys() == first['copies'].keys()


@pytest.mark.parametrize('file_format', FORMATS)
def test_labels_that_were_corrected_are_not_replaced(tmp_path: Path, file_format: str) -> None:
    """A model that is run once more, on more images, does not write over a person's work."""
    found = {'a.png': ((WIDTH, HEIGHT), [])}
    (first, *_) = write_prelabels(tmp_path, found, CLASSES, file_format)
    first.write_text('corrected')
    with pytest.raises(FileExistsError, match=f'{first.name}: labels are there already .* --overwrite'):
        write_prelabels(tmp_path, {'b.png': ((WIDTH, HEIGHT), []), **found}, CLASSES, file_format)
    assert first.read_text() == 'corrected' and not list(tmp_path.rglob('b.*'))
    write_prelabels(tmp_path, found, CLASSES, file_format, overwrite=True)
    assert first.read_text() != 'corrected'


@pytest.mark.parametrize('folder', ['to_label', 'mine/images', 'mine/images/day'])
def test_yolo_finds_the_labels_of_the_images(recordings: Path, tmp_path: Path, folder: str) -> None:
    """Beside images without a folder "images", as YOLO has it; nothing is moved before they are read."""
    copies = tmp_path / folder
    manifest = make_copies(recordings, copies)
    found = {name: ((WIDTH, HEIGHT), [instance(blobs(number)[0])]) for number, name in enumerate(manifest['copies'])}
    *labels, settings = write_prelabels(copies, found, CLASSES, 'yolo', str(copies))
    for name, label in zip(found, labels, strict=True):
        there = (copies / name).with_suffix('.txt')
        assert label == Path(*('labels' if part == 'images' else part for part in there.parts))
    report = convert_yolo_seg(settings.parent, tmp_path / 'out', Options())
    (elsewhere, _) = write_prelabels(
        tmp_path / 'Images', {'a.png': ((8, 8), [])}, CLASSES, 'yolo', tmp_path / 'Images'
    )
    assert elsewhere == tmp_path / 'Images' / 'a.txt'  # YOLO looks for "images" in this spelling only
    (file,) = (tmp_path / 'out' / 'annotations').iterdir()
    assert len(json.loads(file.read_text())['annotations']) == len(found) and not report.lost


@pytest.mark.parametrize('file_format', FORMATS)
def test_images_that_differ_by_their_endings_do_not_share_labels(tmp_path: Path, file_format: str) -> None:
    """LabelMe and YOLO name labels after their image without its ending; COCO's names are whole."""
    found = {
        name: ((WIDTH, HEIGHT), [instance(blobs(0)[k])]) for k, name in enumerate(('x/a.png', 'x/a.jpg', 'a.jpg'))
    }
    if file_format in ('coco', 'cvat'):
        (path,) = write_prelabels(tmp_path, found, CLASSES, file_format)
        assert len(json.loads(path.read_text())['annotations']) == 3
        return
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r'would hold the labels of x/a\.png and of x/a\.jpg; rename'):
            write_prelabels(tmp_path, found, CLASSES, file_format, overwrite=overwrite)
    assert not list(tmp_path.iterdir())
    del found['x/a.jpg']
    write_prelabels(tmp_path, found, CLASSES, file_format)


@pytest.mark.parametrize('file_format', FORMATS)
def test_labels_come_back_to_the_counts(recordings: Path, tmp_path: Path, file_format: str) -> None:
    manifest = make_copies(recordings, tmp_path / 'copies')
    copies = tmp_path / 'copies'
    found = {
        name: ((WIDTH, HEIGHT), [instance(mask, label % 2) for label, mask in enumerate(blobs(number))])
        for number, name in enumerate(manifest['copies'])
    }
    labels = tmp_path / 'copies' if file_format == 'labelme' else tmp_path / 'labels'
    write_prelabels(labels, found, CLASSES, file_format, 'images')
    if file_format == 'labelme':
        assert not convert_labelme(labels, tmp_path / 'converted', Options()).lost  # (the manifest is no label file)
    else:
        images = labels / 'images'
        for name in manifest['copies']:
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(copies / name, images / name)
        if file_format == 'coco':
            (labels / 'annotations').mkdir()
            (labels / 'instances_default.json').rename(labels / 'annotations' / 'instances_default.json')
        convert = convert_yolo_seg if file_format == 'yolo' else convert_cvat_coco
        convert(labels, tmp_path / 'converted', Options())
    done = labels_back(tmp_path / 'converted', copies, tmp_path / 'mine')

    (file,) = (tmp_path / 'mine' / 'annotations').iterdir()
    coco = json.loads(file.read_text())
    assert coco['images'] == done[file.stem]['images'] and len(coco['images']) == 4
    places = {(image['file_name'], image.get('page')) for image in coco['images']}
    assert places == {('day/a.png', None), ('day/b.tiff', None), ('stack.npy', 0), ('stack.npy', 1)}
    names = {category['id']: category['name'] for category in coco['categories']}
    for image in coco['images']:
        raw = read_infrared(tmp_path / 'mine' / 'images' / image['file_name'], page=image.get('page'))
        assert raw.dtype == np.uint16 and raw.shape == (HEIGHT, WIDTH)
        page = f'_{image["page"]:05d}' if 'page' in image else ''
        name = str(Path(image['file_name']).with_suffix('')) + page + '.png'
        seed = list(manifest['copies']).index(name)
        expected = blobs(seed)
        here = [a for a in coco['annotations'] if a['image_id'] == image['id']]
        masks = [_decode(a['segmentation']) for a in here]
        if file_format == 'yolo':  # (its lines know no groups: the third target has become two)
            assert len(here) == 4
        else:
            assert sorted(names[a['category_id']] for a in here) == ['fox', 'fox', 'hot engine']
            for mask in expected:
                assert max(np.count_nonzero(m & mask) / np.count_nonzero(m | mask) for m in masks) >= 0.95


def _decode(segmentation: list | dict) -> np.ndarray:
    if isinstance(segmentation, list):
        segmentation = mask_utils.merge(mask_utils.frPyObjects(segmentation, HEIGHT, WIDTH))
    elif isinstance(segmentation['counts'], list):
        segmentation = mask_utils.frPyObjects(segmentation, HEIGHT, WIDTH)
    return mask_utils.decode(segmentation).astype(bool)


def test_no_folder_that_is_read_is_replaced(recordings: Path, tmp_path: Path) -> None:
    for out in (recordings, tmp_path):
        with pytest.raises(ValueError, match='is or holds the folder of the recordings'):
            make_copies(recordings, out, overwrite=True)
    make_copies(recordings, tmp_path / 'copies')
    labels = tmp_path / 'labelled'
    (labels / 'annotations').mkdir(parents=True)
    shutil.copytree(tmp_path / 'copies', labels / 'images')
    image = {'id': 1, 'file_name': 'day/a.png', 'width': WIDTH, 'height': HEIGHT}
    content = {'images': [image], 'annotations': [], 'categories': [{'id': 1, 'name': 'fox'}]}
    (labels / 'annotations' / 'train.json').write_text(json.dumps(content))
    for out, told in ((labels, 'is one of the sources'), (tmp_path, 'holds the source')):
        with pytest.raises(ValueError, match=told):
            labels_back(labels, tmp_path / 'copies', out, overwrite=True)
    within = tmp_path / 'set'  # recordings that are the images of a data set
    (within / 'annotations').mkdir(parents=True)
    shutil.copytree(recordings, within / 'images')
    with pytest.raises(ValueError, match='holds the source'):
        labels_back(labels, tmp_path / 'copies', within, within / 'images', overwrite=True)
    assert json.loads((labels / 'annotations' / 'train.json').read_text()) == content
    assert (within / 'images' / 'stack.npy').exists()


def test_a_split_of_what_came_back_is_kept(recordings: Path, tmp_path: Path) -> None:
    """More labels came; the recordings that a model was trained on stay in train.json."""
    manifest = make_copies(recordings, tmp_path / 'copies')
    annotations, shape = tmp_path / 'mine' / 'annotations', {'label': 'fox', 'points': [[4, 4], [20, 5], [18, 20]]}

    def bring_back(names: list[str]) -> dict:
        for name in names:
            content = {'shapes': [shape], 'imagePath': Path(name).name}
            (tmp_path / 'copies' / name).with_suffix('.json').write_text(json.dumps(content))
        convert_labelme(tmp_path / 'copies', tmp_path / 'converted', Options(overwrite=True))
        labels_back(tmp_path / 'converted', tmp_path / 'copies', tmp_path / 'mine', overwrite=True)
        return json.loads((annotations / 'all.json').read_text())

    *some, last = manifest['copies']
    coco = bring_back(some)
    for part, images in (('train', coco['images'][:2]), ('val', coco['images'][2:])):
        here = {image['id'] for image in images}
        targets = [a for a in coco['annotations'] if a['image_id'] in here]
        (annotations / f'{part}.json').write_text(json.dumps({**coco, 'images': images, 'annotations': targets}))
    assert len(bring_back([last])['images']) == 4
    parts = [json.loads((annotations / f'{part}.json').read_text())['images'] for part in ('train', 'val')]
    frames = [{(image['file_name'], image.get('page')) for image in images} for images in parts]
    before = [{(i['file_name'], i.get('page')) for i in images} for images in (coco['images'][:2], coco['images'][2:])]
    assert before[0] <= frames[0] and before[1] <= frames[1] and sum(map(len, frames)) == 4


def test_what_moved_is_told(recordings: Path, tmp_path: Path) -> None:
    make_copies(recordings, tmp_path / 'copies')
    labels = tmp_path / 'labelled'
    (labels / 'annotations').mkdir(parents=True)
    shutil.copytree(tmp_path / 'copies', labels / 'images')
    image = {'id': 1, 'file_name': 'day/a.png', 'width': WIDTH, 'height': HEIGHT}
    content = {'images': [image], 'annotations': [], 'categories': [{'id': 1, 'name': 'fox'}], 'info': None}

    def attempt(**change: object) -> None:
        text = json.dumps({**content, 'images': [{**image, **change}]})
        (labels / 'annotations' / 'train.json').write_text(text)
        labels_back(labels, tmp_path / 'copies', tmp_path / 'mine')

    attempt()
    shutil.rmtree(tmp_path / 'mine')
    with pytest.raises(ValueError, match='scaled or cut'):
        attempt(width=60)
    with pytest.raises(ValueError, match='one of the copies'):
        attempt(file_name='other.png')
    cv2.imwrite(str(labels / 'images' / 'day' / 'a.png'), np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(ValueError, match='not those of the copy'):
        attempt()
    shutil.copy(tmp_path / 'copies' / 'day' / 'a.png', labels / 'images' / 'day' / 'a.png')
    cv2.imwrite(str(recordings / 'day' / 'a.png'), np.full((HEIGHT, WIDTH), 7500, np.uint16))
    with pytest.raises(ValueError, match='has changed since'):
        attempt()
    (recordings / 'day' / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match='--source'):
        attempt()
    assert not (tmp_path / 'mine').exists()
