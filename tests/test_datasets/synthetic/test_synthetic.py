"""Synthetic scenes: geometry against hand-derived sizes, masks and files against the scenes they come from."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mmdet_ir.datasets import IRDataset
from mmdet_ir.datasets.synthetic import CLASSES, SensorSettings, generate_scene, stretch, synthesize, to_counts
from mmdet_ir.datasets.synthetic.geometry import Pose, ball, face, limb, owned, rasterize
from mmdet_ir.datasets.synthetic.scene import MIN_PIXELS, MIN_VISIBLE
from mmdet_ir.datasets.synthetic.targets import bicycle, car, human, uav
from mmdet_ir.datasets.synthetic.writer import scene_rng

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations
from pycocotools import mask as coco_mask

SIZE = (160, 128)


@pytest.fixture(scope='module')
def scenes():
    return [generate_scene(scene_rng(5, 'train', index), (320, 256)) for index in range(60)]


@pytest.fixture(scope='module')
def data_set(tmp_path_factory):
    out = tmp_path_factory.mktemp('synthetic') / 'set'
    assert synthesize(out, 10, 3, SIZE, seed=7, workers=2)
    return out


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def annotations_by_image(coco: dict) -> dict[int, list[dict]]:
    return {image['id']: [a for a in coco['annotations'] if a['image_id'] == image['id']] for image in coco['images']}


# ---- shapes


def square(z: float, side: float, temperature: float, **kwargs):
    return face([(0, 0, z), (side, 0, z), (side, side, z), (0, side, z)], temperature, **kwargs)


def test_face_seen_from_above_covers_its_area_in_pixels():
    part = face([(0, 0, 0), (3, 0, 0), (3, 2, 0), (0, 2, 0)], 20.0)
    sprite = rasterize([part], Pose(50, 90, scale=10, elevation=np.pi / 2), (200, 200))
    mask = sprite.owner == 1
    rows, columns = np.nonzero(mask)
    assert mask.sum() == 30 * 20 and sprite.full_areas == [600]
    assert (columns.min() + sprite.x, columns.max() + sprite.x + 1) == (50, 80)
    assert (rows.min() + sprite.y, rows.max() + sprite.y + 1) == (70, 90)  # y points away from the camera: up
    np.testing.assert_allclose(sprite.temperature[mask], 20.0)


def test_ball_covers_a_disc_and_foreshortening_follows_the_cosine():
    disc = rasterize([ball((0, 0, 0), 2.0, 1.0)], Pose(100, 100, 10), (200, 200))
    assert (disc.owner == 1).sum() == pytest.approx(np.pi * 20**2, rel=0.04)
    mast = [limb((0, 0, 0), (0, 0, 8), 0.05, 1.0)]
    for degrees in (0, 40, 75):
        sprite = rasterize(mast, Pose(100, 150, 10, elevation=np.radians(degrees)), (200, 200))
        rows = np.flatnonzero((sprite.owner == 1).any(axis=1))
        assert np.ptp(rows) + 1 == pytest.approx(80 * np.cos(np.radians(degrees)) + 1.3, abs=1.2)


def test_near_parts_hide_far_ones_whatever_their_order():
    low, high = square(0, 4, 1.0, owner=1), owned([square(1, 2, 2.0)], 2)[0]
    pose = Pose(20, 60, 10, elevation=np.pi / 2)
    for parts in ([low, high], [high, low]):
        sprite = rasterize(parts, pose, (100, 100))
        assert (sprite.owner == 2).sum() == 400 and (sprite.owner == 1).sum() == 1600 - 400
        assert sprite.full_areas == [1600, 400]
        np.testing.assert_allclose(sprite.temperature[sprite.owner == 2], 2.0)


def test_culled_faces_and_translucent_parts():
    seen, unseen = (Pose(50, 50, 10, elevation=e * np.pi / 2) for e in (1, -1))
    floor = square(0, 2, 1.0)
    roof = square(1, 2, 5.0, cull=True, bias=9.0)
    assert rasterize([floor, roof], seen, (100, 100)).temperature.max() == pytest.approx(5.0)
    assert rasterize([floor, roof], unseen, (100, 100)).temperature.max() == pytest.approx(1.0)
    veil = square(1, 2, 5.0, opacity=0.25)
    both = rasterize([floor, veil], seen, (100, 100))
    assert both.temperature[both.owner == 1].mean() == pytest.approx(0.75 * 1.0 + 0.25 * 5.0)
    alone = rasterize([veil], seen, (100, 100))
    assert alone.alpha.max() == pytest.approx(0.25) and (alone.owner == 1).sum() == 400


def test_out_of_sight_gives_nothing():
    assert rasterize([ball((0, 0, 0), 1, 1.0)], Pose(-200, 50, 10), (100, 100)) is None


@pytest.mark.parametrize(
    ('build', 'length', 'height'),
    [
        (human, (0.25, 1.6), (1.5, 1.8)),
        (car, (3.9, 5.0), (1.35, 2.0)),
        (bicycle, (1.65, 1.85), (0.9, 1.05)),
        (uav, (0.5, 1.1), (0.1, 0.5)),
    ],
)
@pytest.mark.parametrize('sign', [1, -1])
def test_targets_have_the_size_of_the_real_thing(build, length, height, sign):
    for seed in range(8):
        sprite = rasterize(build(np.random.default_rng(seed), sign), Pose(200, 200, scale=40), (400, 400))
        rows, columns = np.nonzero(sprite.owner)
        assert length[0] * 40 - 2 <= np.ptp(columns) + 1 <= length[1] * 40 + 2
        assert height[0] * 40 - 2 <= np.ptp(rows) + 1 <= height[1] * 40 + 2


def mean_heat(sprite, left: float, top: float, right: float, bottom: float) -> float:
    """Mean temperature of the target's pixels inside a box in image pixels."""
    window = np.zeros(sprite.owner.shape, bool)
    x0, x1 = (int(round(n)) - sprite.x for n in (left, right))
    y0, y1 = (int(round(n)) - sprite.y for n in (top, bottom))
    window[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return float(sprite.temperature[window & (sprite.owner > 0)].mean())


@pytest.mark.parametrize('sign', [1, -1])
def test_heat_inside_targets(sign):
    """Faces are warmer than clothes, tyres of driven cars warmer than their doors, motors warmer than arms."""
    warmer_tyres = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        person = rasterize(human(rng, sign), Pose(100, 200, scale=100, yaw=0.0), (300, 300))
        face_ = mean_heat(person, 105, 200 - 172, 130, 200 - 156)
        clothes = mean_heat(person, 90, 200 - 130, 110, 200 - 100)
        assert face_ > clothes
        vehicle = rasterize(car(rng, sign), Pose(200, 200, scale=40), (400, 400))
        tyres = mean_heat(vehicle, 200 - 2.5 * 40, 200 - 0.25 * 40, 200 + 2.5 * 40, 200)
        doors = mean_heat(vehicle, 180, 200 - 0.7 * 40, 200, 200 - 0.5 * 40)
        warmer_tyres.append(tyres > doors + 1)
        drone = uav(rng, sign)
        arm, motor = drone[0], drone[1]
        assert motor.temperature > arm.temperature
    assert 0.4 < np.mean(warmer_tyres) < 0.95  # driven cars; the others stand cold


# ---- camera


def test_fixed_pattern_noise_is_measurable():
    flat = np.full((400, 300), 20.0)
    clean = {'gain': 50.0, 'offset': 5000.0, 'row_noise': 0.0, 'pixel_noise': 0.0, 'vignetting': 0.0}
    rng = np.random.default_rng(0)
    striped = to_counts(flat, SensorSettings(noise=0.2, column_noise=0.4, **clean), rng).astype(float)
    even = to_counts(flat, SensorSettings(noise=0.2, column_noise=0.0, **clean), rng).astype(float)
    assert striped.mean() == pytest.approx(5000 + 50 * 20, abs=8)
    assert striped.mean(axis=0).std() == pytest.approx(50 * 0.4, rel=0.15)
    assert even.mean(axis=0).std() == pytest.approx(50 * 0.2 / np.sqrt(400), rel=0.2)
    assert (striped - striped.mean(axis=0)).std() == pytest.approx(50 * 0.2, rel=0.02)


def test_blur_vignetting_and_range():
    quiet = {'noise': 0.0, 'column_noise': 0.0, 'row_noise': 0.0, 'pixel_noise': 0.0}
    rng = np.random.default_rng(0)
    point = np.zeros((65, 65))
    point[32, 32] = 3000.0
    spread = to_counts(point, SensorSettings(blur=1.5, gain=10.0, offset=0.0, vignetting=0.0, **quiet), rng)
    weights = spread / spread.sum()
    assert (weights.sum(axis=0) * (np.arange(65) - 32) ** 2).sum() == pytest.approx(1.5**2, rel=0.03)

    shaded = to_counts(np.zeros((101, 101)), SensorSettings(gain=100.0, offset=5000.0, vignetting=2.0, **quiet), rng)
    assert (shaded[50, 50], shaded[0, 0], shaded[50, 0]) == (5000, 4800, 4900)

    extreme = np.where(np.arange(100) < 50, -1e4, 1e4) * np.ones((100, 1))
    counts = to_counts(extreme, SensorSettings(), rng)
    assert counts.dtype == np.uint16 and (counts.min(), counts.max()) == (0, 16383)


def test_stretch_clips_the_percentiles():
    counts = np.arange(2001, dtype=np.uint16).reshape(1, -1) + 3000
    image = stretch(counts, 10, 90)[0]
    assert image.dtype == np.uint8
    assert (image[:201] == 0).all() and (image[1800:] == 255).all()
    assert image[1000] in (127, 128)  # the middle: 3000 + 1000
    assert stretch(np.full((8, 8), 4000, np.uint16)).max() == 0


# ---- scenes


def test_masks_are_disjoint_and_large_enough(scenes):
    for scene in scenes:
        assert scene.counts.dtype == np.uint16 and scene.counts.shape == scene.image8.shape == (256, 320)
        assert scene.counts.max() <= 16383 and scene.counts.min() > 0
        assert scene.masks.shape == (len(scene.labels), 256, 320) and scene.masks.dtype == bool
        assert scene.masks.sum(axis=0).max(initial=0) <= 1
        assert (scene.masks.sum(axis=(1, 2)) >= MIN_PIXELS).all()
        assert all(0 <= hidden <= 1 - MIN_VISIBLE for hidden in scene.meta['occlusion'])


def test_every_class_scene_and_polarity_occurs(scenes):
    labels = Counter(int(label) for scene in scenes for label in scene.labels)
    assert set(labels) == {0, 1, 2, 3}
    assert all(0.1 < n / labels.total() < 0.5 for n in labels.values())
    assert {scene.meta['scene'] for scene in scenes} == {'ground', 'aerial', 'sky'}
    assert {scene.meta['polarity'] for scene in scenes} == {'hot', 'cold'}
    assert 3 <= labels.total() / len(scenes) <= 6
    assert any(hidden > 0.1 for scene in scenes for hidden in scene.meta['occlusion'])


def test_sizes_have_a_small_tail(scenes):
    sides = [max(np.ptp(axis) + 1 for axis in np.nonzero(mask)) for scene in scenes for mask in scene.masks]
    assert 0 < np.mean(np.array(sides) < 10) < 0.15
    assert np.mean((np.array(sides) >= 12) & (np.array(sides) <= 90)) > 0.75


def test_polarity_shows_in_the_counts(scenes):
    agrees = {'hot': [], 'cold': []}
    for scene in scenes:
        others = cv2.dilate(scene.masks.any(axis=0).astype(np.uint8), np.ones((3, 3))) > 0
        for mask in scene.masks:
            ring = (cv2.dilate(mask.astype(np.uint8), np.ones((13, 13))) > 0) & ~others
            if ring.sum() >= 20:
                contrast = scene.counts[mask].mean() - scene.counts[ring].mean()
                agrees[scene.meta['polarity']].append((contrast > 0) == (scene.meta['polarity'] == 'hot'))
    assert min(len(found) for found in agrees.values()) > 40
    assert all(np.mean(found) > 0.9 for found in agrees.values())


def test_scene_depends_on_its_seed_only():
    first, again, other = generate_scene(3, SIZE), generate_scene(3, SIZE), generate_scene(4, SIZE)
    np.testing.assert_array_equal(first.counts, again.counts)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert first.meta == again.meta
    assert (first.counts != other.counts).any()


@pytest.mark.parametrize('size', [(64, 64), (64, 300), (300, 64), (161, 97)])
def test_unusual_sizes(size):
    for seed in range(6):
        scene = generate_scene(seed, size)
        assert scene.image8.shape == scene.masks.shape[1:] == size[::-1]


@pytest.mark.parametrize('size', [(63, 128), (128, 10), (100.5, 128), (128,)])
def test_bad_size_is_refused(size):
    with pytest.raises(ValueError, match='size: expected .width, height.*at least 64 pixels, got'):
        generate_scene(0, size)


# ---- files


def test_classes_are_those_of_the_data_set():
    assert IRDataset.METAINFO['classes'] == CLASSES


def test_bytes_do_not_depend_on_workers_nor_on_the_number_of_scenes(data_set, tmp_path):
    assert synthesize(tmp_path / 'one', 10, 3, SIZE, seed=7, workers=1)
    assert digests(tmp_path / 'one') == digests(data_set)
    assert synthesize(tmp_path / 'fewer', 4, 3, SIZE, seed=7, workers=1)
    fewer, full = digests(tmp_path / 'fewer'), digests(data_set)
    shared = [name for name in fewer if name.endswith('.png')]
    assert len(shared) == 2 * (4 + 3) and all(fewer[name] == full[name] for name in shared)
    assert synthesize(tmp_path / 'other', 1, 1, SIZE, seed=8, workers=1)
    assert digests(tmp_path / 'other')['images/train/000001.png'] != full['images/train/000001.png']


@pytest.mark.parametrize(('split', 'number'), [('train', 10), ('val', 3)])
def test_files_hold_exactly_the_scenes(data_set, split, number):
    coco = json.loads((data_set / 'annotations' / f'{split}.json').read_text())
    assert [(c['id'], c['name']) for c in coco['categories']] == [(1, 'human'), (2, 'car'), (3, 'bicycle'), (4, 'uav')]
    assert len(coco['images']) == number
    assert len({a['id'] for a in coco['annotations']}) == len(coco['annotations'])
    instances = annotations_by_image(coco)
    for index, image in enumerate(coco['images']):
        scene = generate_scene(scene_rng(7, split, index), SIZE)
        stored8 = cv2.imread(str(data_set / 'images' / image['file_name']), cv2.IMREAD_UNCHANGED)
        stored16 = cv2.imread(str(data_set / 'images' / image['counts_file']), cv2.IMREAD_UNCHANGED)
        assert stored8.dtype == np.uint8 and stored16.dtype == np.uint16
        np.testing.assert_array_equal(stored8, scene.image8)
        np.testing.assert_array_equal(stored16, scene.counts)
        assert (image['width'], image['height']) == SIZE
        assert (image['scene'], image['polarity']) == (scene.meta['scene'], scene.meta['polarity'])
        assert len(instances[image['id']]) == len(scene.masks)
        for instance, mask, label in zip(instances[image['id']], scene.masks, scene.labels, strict=True):
            np.testing.assert_array_equal(coco_mask.decode(instance['segmentation']).astype(bool), mask)
            rows, columns = np.nonzero(mask)
            x, y, w, h = instance['bbox']
            assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert instance['area'] == mask.sum() and instance['iscrowd'] == 0
            assert instance['category_id'] == label + 1


def test_mmdetection_reads_the_set(data_set):
    data = IRDataset(
        ann_file='annotations/train.json',
        data_root=str(data_set),
        data_prefix={'img': 'images/'},
        pipeline=[LoadImageFromFile(), LoadAnnotations(with_bbox=True, with_mask=True)],
    )
    assert len(data) == 10
    for index in range(10):
        results = data[index]
        scene = generate_scene(scene_rng(7, 'train', index), SIZE)
        np.testing.assert_array_equal(results['gt_masks'].masks.astype(bool), scene.masks)
        np.testing.assert_array_equal(results['gt_bboxes_labels'], scene.labels)


def test_same_settings_are_left_alone_and_others_refused(data_set, tmp_path):
    out = tmp_path / 'set'
    assert synthesize(out, 2, 1, SIZE, workers=1, counts=False)
    assert not (out / 'images' / 'train16').exists()
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    assert not synthesize(out, 2, 1, SIZE, workers=2, counts=False)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    with pytest.raises(FileExistsError, match='set: holds a synthetic data set with other settings; .*--overwrite'):
        synthesize(out, 3, 1, SIZE, workers=1, counts=False)
    assert synthesize(out, 3, 1, SIZE, workers=1, counts=False, overwrite=True)
    assert len(list((out / 'images' / 'train').iterdir())) == 3
    assert list(tmp_path.iterdir()) == [out]  # nothing temporary is left


def test_foreign_files_are_not_overwritten(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'notes.txt').write_text('keep')
    with pytest.raises(FileExistsError, match='mine: holds other files, such as .*notes.txt; choose another'):
        synthesize(tmp_path / 'mine', 1, 1, SIZE, workers=1)
    assert (tmp_path / 'mine' / 'notes.txt').read_text() == 'keep'
    with pytest.raises(FileExistsError, match='expected a folder to write the data set to, got a file'):
        synthesize(tmp_path / 'mine' / 'notes.txt', 1, 1, SIZE, workers=1)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'num_train': 0}, 'num_train: expected at least 1, got 0'),
        ({'num_val': -1}, 'num_val: expected at least 1, got -1'),
        ({'seed': -5}, 'seed: expected at least 0, got -5'),
        ({'workers': 0}, 'workers: expected at least 1, got 0'),
        ({'size': (32, 32)}, 'size: expected'),
    ],
)
def test_bad_numbers_are_refused(tmp_path, change, message):
    arguments = {'num_train': 1, 'num_val': 1, 'size': SIZE, 'workers': 1} | change
    with pytest.raises(ValueError, match=message):
        synthesize(tmp_path / 'set', **arguments)
    assert not (tmp_path / 'set').exists()


@pytest.mark.slow
def test_command_line(tmp_path):
    tool = Path(__file__).parents[3] / 'tools' / 'data' / 'synthesize.py'
    sheet = tmp_path / 'sheet.jpg'
    command = [sys.executable, str(tool), str(tmp_path / 'set'), '--train', '4', '--val', '2', '--workers', '2']
    command += ['--size', '96', '80', '--no-counts', '--contact-sheet', str(sheet)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tool.parents[2], check=False)
    assert done.returncode == 0, done.stderr
    assert 'set: written' in done.stdout
    assert len(list((tmp_path / 'set' / 'images' / 'train').iterdir())) == 4
    height, width = cv2.imread(str(sheet)).shape[:2]
    assert height > 6 * 80 and width > 4 * 96


@pytest.mark.parametrize('name', ['all.json', 'annotations/train_masks.json', 'annotations/all.json', '.hidden'])
def test_overwriting_deletes_synthetic_scenes_only(tmp_path, name):
    """--overwrite deleted whatever a folder held: a converted data set, masks that were derived, anything."""
    out = tmp_path / 'set'
    assert synthesize(out, 1, 1, SIZE, workers=1, counts=False)
    (out / name).write_text('mine')
    (tmp_path / 'converted' / 'annotations').mkdir(parents=True)
    (tmp_path / 'converted' / 'annotations' / 'train.json').write_text('mine')
    for folder in (out, tmp_path / 'converted', tmp_path):
        with pytest.raises(FileExistsError, match='holds other files, such as'):
            synthesize(folder, 2, 1, SIZE, workers=1, counts=False, overwrite=True)
    assert (out / name).read_text() == 'mine' and len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / 'converted' / 'annotations' / 'train.json').read_text() == 'mine'
