"""The drone clips, on a small release in their own layout and on the real one."""

import io
import json
import sys
from pathlib import Path

from mmdet_ir.datasets.converters import convert_drone_ir
from mmdet_ir.datasets.converters.releases.drone_ir import read_boxes

import cv2
import numpy as np
import pytest
import scipy.io
from pycocotools import mask as mask_utils
from release_checks import check_masks, load


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


def test_drone_ir_goes_on_without_bad_clips(drone_ir, tmp_path, run_tool, capsys):
    folder = drone_ir / 'Data' / 'Video_IR'
    (folder / 'IR_DRONE_000.mp4').write_bytes((folder / 'IR_DRONE_000.mp4').read_bytes()[:500])
    (folder / 'IR_DRONE_001_LABELS.mat').unlink()
    (folder / 'IR_DRONE_002_LABELS.mat').write_bytes(b'x' * 300)
    write_labels(folder / 'IR_DRONE_003_LABELS.mat', [[]] * 39, [[]] * 39)
    write_clip(drone_ir, 5, [[(20, 30, 40, 24)]] * 4)
    write_clip(drone_ir, 6, [[(20, 30, 40, 24)]] * 4)
    arguments = ('drone-ir', drone_ir, tmp_path / 'out', '--stride', 2, '--train-ratio', 0.5, '--overwrite')
    with pytest.raises(ValueError, match='the 3 readable clips show one scene.*4 clips skipped'):
        run_tool(*arguments)
    write_clip(drone_ir, 6, [[(20, 30, 40, 24)]] * 4, scene=1)
    assert run_tool(*arguments) == run_tool(*arguments, '--strict') == 1
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


def test_a_label_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'label file not found: .*clip_LABELS\.mat'):
        read_boxes(tmp_path / 'clip_LABELS.mat')
