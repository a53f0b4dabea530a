import importlib.util
import io
import json
import math
import shutil
import sys
from collections import Counter
from pathlib import Path

from mmdet_ir.datasets.converters import convert_drone_ir, convert_hit_uav
from mmdet_ir.datasets.converters.releases.drone_ir import read_boxes

import cv2
import numpy as np
import pytest
import scipy.io
from pycocotools import mask as mask_utils

NAMES = {1: 'human', 2: 'car', 3: 'bicycle', 4: 'uav'}
RELEASE_CLASSES = ['Person', 'Car', 'Bicycle', 'OtherVehicle', 'DontCare']


def load(out: Path) -> dict[str, dict]:
    return {split: json.loads((out / 'annotations' / f'{split}.json').read_text()) for split in ('train', 'val')}


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


# --------------------------------------------------------------------------------------------------- HIT-UAV

# date, part of the release, objects: class, (cx, cy, w, h, theta)
IMAGES = [
    ('20210116', 'train', [('Person', (50, 40, 12, 24, 0.0)), ('Car', (150.5, 90, 60, 30, 0.4))]),
    ('20210114', 'train', [('Bicycle', (80, 60, 30, 10, 2.8)), ('OtherVehicle', (150, 90, 50, 24, 0.2))]),
    ('20210114', 'val', [('DontCare', (100, 70, 40, 20, 0.0)), ('Person', (30, 30, 10, 20, 0.0))]),
    ('20210121', 'test', [('Car', (195, 140, 30, 20, 0.0))]),  # reaches beyond the corner of the image
    ('20210115', 'test', []),
]
SIZE = (200, 150)  # width, height


def target_ellipse(box) -> tuple:
    """What is hot in a box, in OpenCV's terms."""
    cx, cy, w, h, angle = box
    return (cx, cy), (0.8 * w, 0.8 * h), math.degrees(angle)


def envelope(box) -> list[int]:
    """Upright box around a turned one, rounded down as in the release; hand-written, not the package's."""
    cx, cy, w, h, angle = box
    half_x = (abs(w * math.cos(angle)) + abs(h * math.sin(angle))) / 2
    half_y = (abs(w * math.sin(angle)) + abs(h * math.cos(angle))) / 2
    x0, y0 = math.floor(cx - half_x), math.floor(cy - half_y)
    return [x0, y0, math.floor(cx + half_x) - x0, math.floor(cy + half_y) - y0]


@pytest.fixture
def hit_uav(tmp_path) -> Path:
    """A release of five images in HIT-UAV's own layout."""
    root = tmp_path / 'release'
    for part in ('train', 'val', 'test'):
        (root / 'normal_json' / part).mkdir(parents=True)
        normal = {'info': {}, 'licenses': [{'url': 'x'}, {'name': 'x'}], 'images': [], 'annotation': []}
        normal['categories'] = [{'supercategory': 'x', 'id': i, 'name': n} for i, n in enumerate(RELEASE_CLASSES)]
        rotate = {'images': [], 'annotations': [], 'categories': normal['categories']}
        for k, (date, where, objects) in enumerate(IMAGES):
            if where != part:
                continue
            image = np.full((SIZE[1], SIZE[0]), 90, np.uint8)
            name = f'{k % 2}_60_50_0_{k:05d}.jpg'
            common = {'id': k, 'filename': name, 'width': SIZE[0], 'height': SIZE[1]}
            normal['images'].append({**common, 'date_captured': date})
            more = {'scenario': str(k % 2), 'weather': '0', 'perspective': '50', 'altitude': '60', 'date': date}
            rotate['images'].append({**common, **more})
            for j, (label, box) in enumerate(objects):
                cv2.ellipse(image, target_ellipse(box), 200, -1)
                entry = {'id': 100 * k + j, 'image_id': k, 'category_id': RELEASE_CLASSES.index(label)}
                normal['annotation'].append({**entry, 'bbox': envelope(box), 'area': 1, 'segmentation': [[]]})
                rotate['annotations'].append({**entry, 'bbox': list(box), 'difficult': False})
            cv2.imwrite(str(root / 'normal_json' / part / name), cv2.merge([image] * 3))
        for kind, content in (('normal_json', normal), ('rotate_json', rotate)):
            (root / kind / 'annotations').mkdir(parents=True, exist_ok=True)
            (root / kind / 'annotations' / f'{part}.json').write_text(json.dumps(content))
    return root


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_hit_uav_small_release(hit_uav, tmp_path):
    report = convert_hit_uav(hit_uav, tmp_path / 'out')
    parts = load(tmp_path / 'out')
    assert {s: sorted(i['date'] for i in c['images']) for s, c in parts.items()} == {
        'train': ['20210114', '20210114', '20210115'],
        'val': ['20210116', '20210121'],
    }
    first = next(i for i in parts['val']['images'] if i['date'] == '20210116')
    assert (first['altitude'], first['perspective'], first['scenario'], first['source_split']) == (
        60,
        50,
        'day',
        'train',
    )
    assert (first['width'], first['height']) == SIZE
    assert {i['scenario'] for i in parts['train']['images']} == {'night', 'day'}

    rows = [
        (NAMES[a['category_id']], a['iscrowd'], a['source_class'], a['mask_method'])
        for c in parts.values()
        for a in c['annotations']
    ]
    assert sorted(rows) == sorted(
        [
            ('human', 0, 'Person', 'threshold'),
            ('human', 0, 'Person', 'threshold'),
            ('car', 0, 'Car', 'oriented_box'),
            ('car', 0, 'Car', 'oriented_box'),
            ('bicycle', 0, 'Bicycle', 'threshold'),
            ('car', 1, 'OtherVehicle', 'oriented_box'),
            ('human', 1, 'DontCare', 'oriented_box'),
            ('car', 1, 'DontCare', 'oriented_box'),
            ('bicycle', 1, 'DontCare', 'oriented_box'),
        ]
    )
    assert report.read == {'Person': 2, 'Car': 2, 'Bicycle': 1, 'OtherVehicle': 1, 'DontCare': 1}
    assert report.written == {'train': {'human': 1, 'bicycle': 1}, 'val': {'human': 1, 'car': 2}}
    assert report.ignored == {'train': {'car': 2, 'human': 1, 'bicycle': 1}, 'val': {}}
    assert report.clipped == 1 and not report.dropped and not report.skipped
    assert 'train:   3 images; bicycle 1, human 1; ignored regions: bicycle 1, car 2, human 1' in str(report)


def test_hit_uav_boxes_and_masks(hit_uav, tmp_path):
    convert_hit_uav(hit_uav, tmp_path / 'out')
    sources = {100 * k + j: box for k, image in enumerate(IMAGES) for j, (_, box) in enumerate(image[2])}
    for coco in load(tmp_path / 'out').values():
        for a in coco['annotations']:
            box = sources[a['source_id']]
            x, y, w, h = envelope(box)
            clipped = [x, y, min(x + w, SIZE[0]) - x, min(y + h, SIZE[1]) - y]
            assert a['bbox'] == clipped
            mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(a['segmentation'], *SIZE[::-1])))
            assert a['area'] == mask.sum()
            truth = np.zeros(SIZE[::-1], np.uint8)
            if a['mask_method'] == 'oriented_box':
                corners = cv2.boxPoints((box[:2], box[2:4], math.degrees(box[4])))
                cv2.fillPoly(truth, [corners.round().astype(int)], 1)
            else:
                cv2.ellipse(truth, target_ellipse(box), 1, -1)
            assert (mask & truth).sum() / (mask | truth).sum() > 0.85


def test_hit_uav_val_dates(hit_uav, tmp_path):
    convert_hit_uav(hit_uav, tmp_path / 'out', val_dates=('20210115',))
    parts = load(tmp_path / 'out')
    assert [i['date'] for i in parts['val']['images']] == ['20210115']
    assert parts['val']['annotations'] == []
    assert parts['val']['info']['val_dates'] == ['20210115']
    with pytest.raises(ValueError, match='dates 20200101; dates found: 20210114, 20210115, 20210116, 20210121'):
        convert_hit_uav(hit_uav, tmp_path / 'none', val_dates=('20210115', '20200101'))
    with pytest.raises(ValueError, match='no date is left for training'):
        convert_hit_uav(hit_uav, tmp_path / 'none', val_dates=('20210114', '20210115', '20210116', '20210121'))


def test_hit_uav_sets_a_date_aside_from_training(hit_uav, tmp_path):
    convert_hit_uav(hit_uav, tmp_path / 'plain', val_dates=('20210121',))
    assert not (tmp_path / 'plain' / 'annotations' / 'dev.json').exists()
    convert_hit_uav(hit_uav, tmp_path / 'out', val_dates=('20210121',), dev_dates=('20210115',))
    plain, parts = load(tmp_path / 'plain'), load(tmp_path / 'out')
    dev = json.loads((tmp_path / 'out' / 'annotations' / 'dev.json').read_text())
    assert [image['date'] for image in dev['images']] == ['20210115']
    assert dev['info']['dev_dates'] == ['20210115']
    names = [image['file_name'] for image in parts['train']['images']]
    assert names == [i['file_name'] for i in plain['train']['images'] if i['date'] != '20210115'] and names
    assert parts['val']['images'] == plain['val']['images']
    ids = [image['id'] for coco in (*parts.values(), dev) for image in coco['images']]
    assert len(ids) == len(set(ids)) == 5


@pytest.mark.parametrize(
    ('dates', 'message'),
    [
        (('20200101',), 'dates to set aside, 20200101; dates found: 20210114'),
        (('20210121',), 'each date in one part, got 20210121'),
        (('20210114', '20210115', '20210116'), 'no date is left for training'),
    ],
)
def test_hit_uav_dates_that_cannot_be_set_aside(hit_uav, tmp_path, dates, message):
    with pytest.raises(ValueError, match=message):
        convert_hit_uav(hit_uav, tmp_path / 'none', val_dates=('20210121',), dev_dates=dates)


def test_hit_uav_skips_unreadable_images_and_names_them(hit_uav, tmp_path, monkeypatch, capsys):
    folder = hit_uav / 'normal_json' / 'train'
    missing, broken = sorted(folder.iterdir())
    missing.unlink()
    broken.write_bytes(broken.read_bytes()[:40])
    report = convert_hit_uav(hit_uav, tmp_path / 'out', val_dates=('20210121',))
    assert report.skipped == [f'{missing}: no such file', f'{broken}: not a readable image']
    assert report.images == {'train': 2, 'val': 1}
    arguments = ('hit-uav', hit_uav, tmp_path / 'out', '--overwrite', '--val-dates', '20210121')
    assert run_tool(monkeypatch, *arguments) == 0
    assert run_tool(monkeypatch, *arguments, '--strict') == 1
    assert f'skipped 2 files:\n  {missing}: no such file' in capsys.readouterr().out
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=r'no readable image for val; first of 2 problems: .*no such file'):
        run_tool(monkeypatch, *arguments[:4], '--val-dates', '20210116')


def test_hit_uav_errors_name_file_and_entry(hit_uav, tmp_path):
    normal, rotate = (hit_uav / kind / 'annotations' / 'train.json' for kind in ('normal_json', 'rotate_json'))
    texts = normal.read_text(), rotate.read_text()

    def check(path, change, message, kind=ValueError):
        edit(path, change)
        with pytest.raises(kind, match=message):
            convert_hit_uav(hit_uav, tmp_path / 'out')
        normal.write_text(texts[0])
        rotate.write_text(texts[1])
        assert not (tmp_path / 'out').exists()

    check(normal, lambda c: c['images'][0].update(filename='../x.jpg'), "train.json, image id 0: .* got '../x.jpg'")
    check(normal, lambda c: c['images'][0].update(filename='/x.jpg'), "train.json, image id 0: .* got '/x.jpg'")
    check(rotate, lambda c: c['annotations'].pop(1), 'rotate_json.*train.json: annotation id 1 is missing')
    check(rotate, lambda c: c['annotations'][1].update(image_id=1), 'annotation id 1 is missing, or is of another')
    check(rotate, lambda c: c['images'].pop(0), 'rotate_json.*train.json: image id 0 .* is missing')
    check(rotate, lambda c: c['images'][0].update(filename='x.jpg'), 'image id 0 .* has another file name')
    check(
        normal, lambda c: c['categories'][2].update(name='Truck'), r"train.json: expected classes .* got \['Truck'\]"
    )
    check(
        normal, lambda c: c.pop('annotation'), "train.json or its twin .* not as in the release: KeyError.'annotation'"
    )
    normal.write_text(texts[0][:300])
    with pytest.raises(ValueError, match='normal_json/annotations/train.json is not valid JSON'):
        convert_hit_uav(hit_uav, tmp_path / 'out')
    normal.unlink()
    with pytest.raises(FileNotFoundError, match='normal_json/annotations/train.json'):
        convert_hit_uav(hit_uav, tmp_path / 'out')


def test_hit_uav_oriented_boxes_that_do_not_fit_are_not_used(hit_uav, tmp_path):
    path = hit_uav / 'rotate_json' / 'annotations' / 'train.json'
    edit(path, lambda c: c['annotations'][1].update(bbox=[20, 20, 10, 10, 0.1]))  # the first image's car
    report = convert_hit_uav(hit_uav, tmp_path / 'out')
    assert report.notes == ['1 oriented boxes do not fit their upright boxes, which were used instead']
    car = next(a for a in load(tmp_path / 'out')['val']['annotations'] if a['source_id'] == 1)
    x, y, w, h = envelope(IMAGES[0][2][1][1])
    assert car['area'] == w * h


def test_existing_output_is_kept(hit_uav, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine.txt').write_text('')
    for overwrite in (False, True):
        with pytest.raises(FileExistsError):
            convert_hit_uav(hit_uav, tmp_path / 'out', overwrite=overwrite)
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['mine.txt']


# ------------------------------------------------------------------------------------------------- drone clips


def write_labels(path: Path, drones: list, birds: list) -> None:
    """A ``groundTruth`` file: SciPy writes the structures, the MATLAB object's wrapping is laid around them."""
    frames = np.empty((len(drones), 1), dtype=[(name, object) for name in ('Time', 'AIRPLANE', 'BIRD', 'DRONE')])
    for i, (drone, bird) in enumerate(zip(drones, birds, strict=True)):
        frames[i, 0] = (
            i / 30,
            np.zeros((0, 0)),
            *(np.reshape(b, (-1, 4)) if b else np.zeros((0, 0)) for b in (bird, drone)),
        )
    inner = io.BytesIO()
    content = {'DataSource': {'Source': 'x.mp4'}, 'LabelData': frames}
    scipy.io.savemat(inner, {'w': np.array([[content]], dtype=object)})
    workspace = b'\x00\x01IM\x00\x00\x00\x00' + inner.getvalue()[128:]
    outer = io.BytesIO()
    scipy.io.savemat(outer, {'q': np.frombuffer(workspace, np.uint8)[None]})
    # MATLAB's function workspace is a variable with an empty name.
    named, unnamed = b'\x01\x00\x01\x00q\x00\x00\x00', b'\x01\x00\x00\x00\x00\x00\x00\x00'
    assert outer.getvalue().count(named) == 1
    path.write_bytes(outer.getvalue().replace(named, unnamed))


def write_clip(root: Path, number: int, frames: list[list], scene: int = 0) -> None:
    """A clip with hot rectangles (xywh from 0) on a background whose level tells the frame: 40, 90, 140, 40, ....

    The scene is the edge along which the image is hot.
    """
    folder = root / 'Data' / 'Video_IR'
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f'IR_DRONE_{number:03d}'
    writer = cv2.VideoWriter(f'{stem}.mp4', cv2.VideoWriter_fourcc(*'mp4v'), 30, (320, 256))
    for k, boxes in enumerate(frames):
        image = np.full((256, 320, 3), 40 + 50 * (k % 3), np.uint8)
        np.rot90(image, scene)[:16] = 250
        for x, y, w, h in boxes:
            image[y + h // 4 : y + h - h // 4, x + w // 4 : x + w - w // 4] = 230
        writer.write(image)
    writer.release()
    one_based = [[[x + 1, y + 1, w, h] for x, y, w, h in boxes] for boxes in frames]
    birds = [[[5, 6, 7, 8]] if k % 3 == 0 else [] for k in range(len(frames))]
    write_labels(Path(f'{stem}_LABELS.mat'), one_based, birds)


SCENES = {0: 0, 1: 1, 2: 1, 3: 2, 4: 0}


@pytest.fixture
def drone_ir(tmp_path) -> Path:
    """Five clips of 40 frames of three scenes: one drone, in clip 3 two, in clip 4 one in the first frame only."""
    root = tmp_path / 'release'
    for number in range(5):
        boxes = [[(20 + 2 * k, 100 + number, 40, 24)] for k in range(40)]
        if number == 3:
            boxes = [[*b, (200, 50, 32, 20)] for b in boxes]
        if number == 4:
            boxes = [boxes[0]] + [[]] * 39
        write_clip(root, number, boxes, SCENES[number])
    return root


def test_drone_ir_small_release(drone_ir, tmp_path):
    out = tmp_path / 'out'
    report = convert_drone_ir(drone_ir, out, stride=5, empty_every=3, train_ratio=0.6)
    parts = load(out)
    clips = {split: {image['clip'] for image in coco['images']} for split, coco in parts.items()}
    assert [len(clips['train']), len(clips['val'])] == [3, 2] and not clips['train'] & clips['val']
    scenes = {split: {SCENES[int(clip[-3:])] for clip in names} for split, names in clips.items()}
    assert not scenes['train'] & scenes['val']
    first = {0: 'IR_DRONE_000', 1: 'IR_DRONE_001', 2: 'IR_DRONE_003'}
    for image in parts['train']['images'] + parts['val']['images']:
        assert image['scene'] == first[SCENES[int(image['clip'][-3:])]]
    images = [(image['clip'], image['frame']) for coco in parts.values() for image in coco['images']]
    expected = {(f'IR_DRONE_{n:03d}', k) for n in range(4) for k in range(0, 40, 5)}
    # In clip 4 the frames 5, 10, ..., 35 are empty: every third of them stays.
    expected |= {('IR_DRONE_004', k) for k in (0, 5, 20, 35)}
    assert len(images) == len(expected) and set(images) == expected
    assert report.read == {'DRONE': 3 * 8 + 2 * 8 + 1}

    for coco in parts.values():
        by_image = {image['id']: [] for image in coco['images']}
        for a in coco['annotations']:
            by_image[a['image_id']].append(a)
        for image in coco['images']:
            picture = cv2.imread(str(out / 'images' / image['file_name']), cv2.IMREAD_UNCHANGED)
            assert picture.shape == (256, 320) and picture.dtype == np.uint8
            assert np.median(picture) == pytest.approx(40 + 50 * (image['frame'] % 3), abs=15)  # the right frame
            number, k = int(image['clip'][-3:]), image['frame']
            boxes = [[20 + 2 * k, 100 + number, 40, 24]]
            boxes += [[200, 50, 32, 20]] * (number == 3)
            if number == 4 and k:
                boxes = []
            annotations = by_image[image['id']]
            assert [a['bbox'] for a in annotations] == boxes
            for a in annotations:
                x, y, w, h = (int(v) for v in a['bbox'])
                truth = np.zeros((256, 320), np.uint8)
                truth[y + h // 4 : y + h - h // 4, x + w // 4 : x + w - w // 4] = 1
                mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(a['segmentation'], 256, 320)))
                assert (mask & truth).sum() / (mask | truth).sum() > 0.8
                assert (a['mask_source'], a['category_id'], a['iscrowd']) == ('derived', 4, 0)


def test_drone_ir_split_depends_on_seed_only(drone_ir, tmp_path):
    def val_clips(**options):
        convert_drone_ir(drone_ir, tmp_path / 'out', train_ratio=0.6, overwrite=True, **options)
        return {image['clip'] for image in load(tmp_path / 'out')['val']['images']}

    first = val_clips(stride=10)
    assert val_clips(stride=20) == first
    assert any(val_clips(stride=20, seed=seed) != first for seed in range(1, 5))


def test_drone_ir_sets_a_scene_aside_from_training(drone_ir, tmp_path):
    convert_drone_ir(drone_ir, tmp_path / 'plain', stride=10, train_ratio=0.6)
    assert not (tmp_path / 'plain' / 'annotations' / 'dev.json').exists()
    convert_drone_ir(drone_ir, tmp_path / 'out', stride=10, train_ratio=0.6, dev_ratio=0.3)
    dev = json.loads((tmp_path / 'out' / 'annotations' / 'dev.json').read_text())
    parts = {**load(tmp_path / 'out'), 'dev': dev}
    clips = {split: {image['clip'] for image in coco['images']} for split, coco in parts.items()}
    plain = {split: {image['clip'] for image in coco['images']} for split, coco in load(tmp_path / 'plain').items()}
    assert clips['val'] == plain['val']
    assert clips['train'] | clips['dev'] == plain['train'] and clips['train'] and clips['dev']
    scenes = {split: {SCENES[int(clip[-3:])] for clip in names} for split, names in clips.items()}
    assert not scenes['train'] & scenes['dev'] and not scenes['val'] & scenes['dev']
    assert dev['info']['dev_ratio'] == 0.3 and dev['annotations']
    with pytest.raises(ValueError, match='dev_ratio 0.3 needs two scenes for training, got 1'):
        convert_drone_ir(drone_ir, tmp_path / 'none', train_ratio=0.2, dev_ratio=0.3)


def test_drone_ir_goes_on_without_bad_clips(drone_ir, tmp_path, monkeypatch, capsys):
    folder = drone_ir / 'Data' / 'Video_IR'
    (folder / 'IR_DRONE_000.mp4').write_bytes((folder / 'IR_DRONE_000.mp4').read_bytes()[:500])
    (folder / 'IR_DRONE_001_LABELS.mat').unlink()
    (folder / 'IR_DRONE_002_LABELS.mat').write_bytes(b'x' * 300)
    write_labels(folder / 'IR_DRONE_003_LABELS.mat', [[]] * 39, [[]] * 39)
    write_clip(drone_ir, 5, [[(20, 30, 40, 24)]] * 4)
    write_clip(drone_ir, 6, [[(20, 30, 40, 24)]] * 4)
    arguments = ('drone-ir', drone_ir, tmp_path / 'out', '--stride', 2, '--train-ratio', 0.5, '--overwrite')
    with pytest.raises(ValueError, match='the 3 readable clips show one scene.*4 clips skipped'):
        run_tool(monkeypatch, *arguments)
    write_clip(drone_ir, 6, [[(20, 30, 40, 24)]] * 4, scene=1)
    assert run_tool(monkeypatch, *arguments) == 0
    assert run_tool(monkeypatch, *arguments, '--strict') == 1
    text = capsys.readouterr().out
    assert 'skipped 4 files' in text
    assert 'IR_DRONE_000.mp4: 0 readable frames, but 40 labelled ones' in text
    assert 'IR_DRONE_001_LABELS.mat: no such file' in text
    assert 'IR_DRONE_002_LABELS.mat: not a readable groundTruth file' in text
    assert 'IR_DRONE_003.mp4: 40 readable frames, but 39 labelled ones' in text
    images = [image for coco in load(tmp_path / 'out').values() for image in coco['images']]
    assert {image['clip'][-3:] for image in images} == {'004', '005', '006'}


def test_drone_ir_boxes_beyond_the_image(tmp_path):
    for number in range(2):
        write_clip(tmp_path, number, [[(300, 100, 40, 20), (330, 100, 20, 20)]] * 2, scene=number)
    report = convert_drone_ir(tmp_path, tmp_path / 'out', stride=1)
    assert report.read['DRONE'] == 8 and report.clipped == 4
    assert report.dropped == {'DRONE: box outside the image or under 1 pixel': 4}
    boxes = [a['bbox'] for coco in load(tmp_path / 'out').values() for a in coco['annotations']]
    assert boxes == [[300, 100, 20, 20]] * 4


def test_drone_ir_errors(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match='at least 2 clips .* in .*Video_IR, got 0'):
        convert_drone_ir(tmp_path, tmp_path / 'out')
    with pytest.raises(ValueError, match='expected stride >= 1'):
        convert_drone_ir(tmp_path, tmp_path / 'out', stride=0)
    monkeypatch.setitem(sys.modules, 'mcos_decoder', None)
    with pytest.raises(ImportError, match='pip install mcos-decoder'):
        convert_drone_ir(tmp_path, tmp_path / 'out')


# --------------------------------------------------------------------------------------------------- real data


def check_masks(out: Path) -> Counter:
    """Every annotation's mask: polygons, derived, inside its box, of its area. Returns the counts of the methods."""
    methods = Counter()
    for coco in load(out).values():
        sizes = {image['id']: (image['height'], image['width']) for image in coco['images']}
        assert {image['file_name'] for image in coco['images']} <= {p.name for p in (out / 'images').iterdir()}
        for a in coco['annotations']:
            height, width = sizes[a['image_id']]
            assert a['mask_source'] == 'derived'
            assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in a['segmentation'])
            rle = mask_utils.merge(mask_utils.frPyObjects(a['segmentation'], height, width))
            assert a['area'] == mask_utils.area(rle) > 0
            x, y, w, h = a['bbox']
            assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
            mx, my, mw, mh = mask_utils.toBbox(rle)
            assert mx >= math.floor(x) and mx + mw <= math.ceil(x + w)
            assert my >= math.floor(y) and my + mh <= math.ceil(y + h)
            methods[NAMES[a['category_id']], a['mask_method']] += 1
    return methods


@pytest.mark.real_data
def test_real_hit_uav(real_data_root, tmp_path):
    report = convert_hit_uav(real_data_root / 'hit_uav', tmp_path / 'out')
    raw = Counter()
    for part in ('train', 'val', 'test'):
        for kind, key in (('normal_json', 'annotation'), ('rotate_json', 'annotations')):
            content = json.loads((real_data_root / 'hit_uav' / kind / 'annotations' / f'{part}.json').read_text())
            raw.update((kind, RELEASE_CLASSES[a['category_id']]) for a in content[key])
            raw[kind] += len(content['images'])
    parts = load(tmp_path / 'out')
    written = Counter((a['source_class'], a['iscrowd']) for c in parts.values() for a in c['annotations'])
    for kind in ('normal_json', 'rotate_json'):
        assert {name: n for (name, crowd), n in written.items() if not crowd} == {
            name: raw[kind, name] for name in ('Person', 'Car', 'Bicycle')
        }
        assert written['OtherVehicle', 1] == raw[kind, 'OtherVehicle']
        assert written['DontCare', 1] == 3 * raw[kind, 'DontCare']
        assert (
            sum(len(c['images']) for c in parts.values())
            == raw[kind]
            == len(list((tmp_path / 'out/images').iterdir()))
        )
    assert not report.skipped and not report.dropped and not report.notes
    dates = {split: {image['date'] for image in coco['images']} for split, coco in parts.items()}
    assert dates['val'] == {'20210116', '20210121'} and not dates['val'] & dates['train']

    methods = check_masks(tmp_path / 'out')
    assert {method for name, method in methods if name == 'car'} == {'oriented_box'}
    for name in ('human', 'bicycle'):  # the fallback is the exception
        assert methods[name, 'threshold'] > 5 * methods[name, 'ellipse']


def view(clip: str) -> str:
    """The view of a released clip, told by eye."""
    number = int(clip[-3:])
    meadow = (*range(10, 16), *range(19, 38), 46, 47, *range(52, 56))
    return 'C' if number >= 56 else 'B' if number in meadow else 'A'


@pytest.mark.real_data
def test_real_drone_ir(real_data_root, tmp_path):
    """A fifth of the clips, to be quick, among them 096 and 101 (birds), 146 (two drones)."""
    from mcos_decoder import load_groundtruth

    folder = tmp_path / 'release' / 'Data' / 'Video_IR'
    folder.mkdir(parents=True)
    videos = sorted((real_data_root / 'drone_ir' / 'Data' / 'Video_IR').glob('*.mp4'))
    videos = [v for v in videos if int(v.stem[-3:]) % 5 == 1]
    for video in videos:
        for path in (video, video.with_name(f'{video.stem}_LABELS.mat')):
            (folder / path.name).symlink_to(path)
    report = convert_drone_ir(tmp_path / 'release', tmp_path / 'out', stride=60)
    parts = load(tmp_path / 'out')
    assert not report.skipped and not report.dropped
    clips = {split: {image['clip'] for image in coco['images']} for split, coco in parts.items()}
    assert not clips['train'] & clips['val']
    assert clips['train'] | clips['val'] == {video.stem for video in videos}
    assert not {view(clip) for clip in clips['train']} & {view(clip) for clip in clips['val']}

    # Another reader of the labels. Its lists are right where a clip has just one target of one kind all along.
    agreeing, double = set(), set()
    for video in videos:
        labels = load_groundtruth(folder / f'{video.stem}_LABELS.mat')
        length = int(cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT))
        coco = next(coco for split, coco in parts.items() if video.stem in clips[split])
        images = {image['id']: image['frame'] for image in coco['images'] if image['clip'] == video.stem}
        assert sorted(images.values()) == list(range(0, length, 60))
        if len(labels) != length:
            continue
        for image_id, frame in images.items():
            boxes = [a['bbox'] for a in coco['annotations'] if a['image_id'] == image_id]
            if labels[frame] is None:
                assert len(boxes) == 2
                double.add(video.stem)
            else:
                x, y, w, h = labels[frame]
                np.testing.assert_allclose(boxes, [[x - 1, y - 1, w, h]], atol=1e-3)
                agreeing.add(video.stem)
    assert double == {'IR_DRONE_146'} and len(agreeing) > 20
    methods = check_masks(tmp_path / 'out')
    assert methods['uav', 'threshold'] > 20 * methods['uav', 'ellipse']


@pytest.mark.real_data
@pytest.mark.parametrize('clip', ['IR_DRONE_144', 'IR_DRONE_096'])
def test_real_labels_with_two_drones_or_birds(real_data_root, clip):
    """In 144 every frame has two drones; in 096 there is always one, and a bird in 76 frames."""
    boxes = read_boxes(real_data_root / 'drone_ir' / 'Data' / 'Video_IR' / f'{clip}_LABELS.mat')
    assert {len(b) for b in boxes} == ({2} if clip == 'IR_DRONE_144' else {1})
    assert len(boxes) == (319 if clip == 'IR_DRONE_144' else 321)
