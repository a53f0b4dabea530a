"""tools/infer.py: inputs that need care, and what weak detections do along a track."""

import csv
import json
import os
from pathlib import Path

from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.apis.inference.inputs import count_frames, find_sources, frame_rate
from mmdet_ir.apis.inference.run import infer

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.structures import InstanceData

HEIGHT, WIDTH = 64, 96
RAW_CONFIG = """
_base_ = '{base}'
pipeline = [
    dict(type='LoadIRImageFromFile', raw=True), dict(type='Resize', scale=(96, 64)),
    dict(type='PackDetInputs', meta_keys=_base_.meta)]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
model = dict(test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=4)))
"""
GREY_CONFIG = """
_base_ = '{base}'
pipeline = [
    dict(type='LoadImageFromFile', color_type='grayscale'), dict(type='Resize', scale=(96, 64)),
    dict(type='PackDetInputs', meta_keys=_base_.meta)]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
"""


def write_clip(path: Path, number: int) -> None:
    """Frames of 8 bits without loss, 12.5 of them a second."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*'FFV1'), 12.5, (WIDTH, HEIGHT))
    for level in range(number):
        writer.write(np.full((HEIGHT, WIDTH, 3), 20 + level, np.uint8))
    writer.release()


def scripted(rows: list[list[tuple[int, float]]]) -> object:
    """A model that finds in each frame one target for each class and score, which stays where it is."""
    frames = iter(rows)

    def predict(self: IRInferencer, batch: list) -> list[InstanceData]:
        found = []
        for _ in batch:
            row = next(frames)
            masks = torch.zeros(len(row), HEIGHT, WIDTH, dtype=torch.bool)
            for i in range(len(row)):
                masks[i, 10:20, 30 * i + 5 : 30 * i + 15] = True
            found.append(
                InstanceData(
                    bboxes=torch.tensor([[30.0 * i + 5, 10, 30 * i + 15, 20] for i in range(len(row))]),
                    scores=torch.tensor([score for _, score in row]),
                    labels=torch.tensor([label for label, _ in row]),
                    masks=masks,
                )
            )
        return found

    return predict


def test_a_track_starts_where_a_score_reaches_the_threshold(
    model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trackers begin tracks by themselves, from lower scores on; and each video begins anew."""
    pytest.importorskip('lap')
    human = [0.55, 0.55, 0.7, 0.2, 0.3]
    frames = [[(0, score), (3, 0.9)] for score in human] + [[(0, 0.55), (3, 0.9)]] * 2 + [[(0, 0.55), (3, 0.97)]]
    monkeypatch.setattr(IRInferencer, 'predict', scripted(frames))
    for name, number in (('a.mkv', 5), ('b.mkv', 3)):
        write_clip(tmp_path / name, number)
    clips, out = [tmp_path / 'a.mkv', tmp_path / 'b.mkv'], tmp_path / 'out'
    infer(*model, clips, out, scores=['0.6', 'uav=0.95'], track='byte', pictures=False, device='cpu')
    with (out / 'detections.csv').open(newline='') as file:
        columns = ('file_name', 'frame', 'class', 'score')
        rows = [tuple(row[column] for column in columns) for row in csv.DictReader(file)]
    assert rows == [
        ('a.mkv', '2', 'human', '0.70000'),
        ('a.mkv', '3', 'human', '0.20000'),
        ('a.mkv', '4', 'human', '0.30000'),
        ('b.mkv', '2', 'uav', '0.97000'),
    ]
    points = []
    for name in 'ab':
        with (out / 'tracks' / f'{name}_points.csv').open(newline='') as file:
            points += [(row['class'], int(row['frame'])) for row in csv.DictReader(file)]
    assert points == [('human', 2), ('human', 3), ('human', 4), ('uav', 2)]


def test_files_of_more_than_8_bits_are_refused_by_the_8_bit_loader(
    toy_config: Path, model: tuple, tmp_path: Path
) -> None:
    inferencer = IRInferencer(toy_config, model[1], 'cpu', show_progress=False)
    levels = np.random.default_rng(0).integers(0, 250, (HEIGHT, WIDTH), dtype=np.uint8)
    for name, image in {'8.png': levels, '16.png': levels * np.uint16(60), 'f.tif': levels.astype(np.float32)}.items():
        cv2.imwrite(str(tmp_path / name), image)
    assert (inferencer.read(tmp_path / '8.png') == levels[..., None]).all()
    for name, kind in (('16.png', '16 bits'), ('f.tif', 'floating-point values')):
        message = rf'image .*{name}: expected 8 bits, got {kind}; other values need LoadIRImageFromFile and Tone'
        for use in (inferencer.read, inferencer):
            with pytest.raises(ValueError, match=message):
                use(str(tmp_path / name))
    report = infer(toy_config, model[1], [tmp_path], tmp_path / 'out', pictures=False, device='cpu')
    assert report['frames'] == 1 and [Path(entry['path']).name for entry in report['skipped']] == ['16.png', 'f.tif']


def test_an_unchanged_file_keeps_its_bits_as_in_a_test(toy_config: Path, model: tuple, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((HEIGHT, WIDTH, 3), 7000, np.uint16))
    inferencer = IRInferencer(toy_config, model[1], 'cpu', show_progress=False)
    inferencer.pipeline.loader = LoadImageFromFile(to_float32=True, color_type='unchanged')
    assert (inferencer.read(tmp_path / 'a.png') == 7000).all()


def test_a_grey_loader_gives_one_channel(toy_config: Path, model: tuple, tmp_path: Path) -> None:
    """From a file, an array and a frame as from a file in a test."""
    (tmp_path / 'grey.py').write_text(GREY_CONFIG.format(base=toy_config))
    inferencer = IRInferencer(tmp_path / 'grey.py', model[1], 'cpu', show_progress=False)
    levels = np.random.default_rng(0).integers(0, 250, (HEIGHT, WIDTH), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), levels)
    three = np.repeat(levels[..., None], 3, axis=2)
    for image in (inferencer.read(tmp_path / 'a.png'), levels, levels[..., None], three):
        prepared = inferencer.prepare(image, 'a.png')['inputs'].numpy()
        assert prepared.shape == (1, HEIGHT, WIDTH) and (prepared[0] == levels).all()


def test_an_input_without_a_frame_is_told(model: tuple, tmp_path: Path) -> None:
    np.save(tmp_path / 'none.npy', np.zeros((0, HEIGHT, WIDTH), np.uint16))
    with pytest.raises(ValueError, match='none of the inputs could be used; the first: .*none.npy: no frames came'):
        infer(*model, [tmp_path / 'none.npy'], tmp_path / 'out', device='cpu')
    with pytest.raises(ValueError, match='expected at least one input, got none'):
        infer(*model, [], tmp_path / 'out', device='cpu')
    (source,) = find_sources([str(tmp_path / 'none.npy')], tmp_path / 'out')
    assert count_frames(source) == 1  # of what there is to tell


def test_a_name_with_a_colon_is_no_protocol(model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / 'clip.mkv', 3)
    os.rename('clip.mkv', '2024-05-01T12:30:00.mkv')
    (source,) = find_sources(['2024-05-01T12:30:00.mkv'], 'out')
    assert count_frames(source) == 3 and frame_rate(source) == 12.5
    report = infer(*model, ['2024-05-01T12:30:00.mkv'], 'out', pictures=False, device='cpu')
    assert report['frames'] == 3 and report['skipped'] == []
    found = json.loads(Path('out/detections.json').read_text())['images']
    assert {image['path'] for image in found} == {'2024-05-01T12:30:00.mkv'}  # (as it was given)


def test_an_empty_name_is_not_the_folder_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('a.png', np.zeros((4, 5), np.uint8))
    with pytest.raises(FileNotFoundError, match="input not found: expected an image, .* got ''"):
        find_sources([''], 'out')
    assert len(find_sources(['.'], 'out')) == 1


def test_tiles_of_counts_without_tone_mapping_are_drawn_from_minimum_to_maximum(
    toy_config: Path, model: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile = pytest.importorskip('tifffile')
    (tmp_path / 'raw.py').write_text(RAW_CONFIG.format(base=toy_config))
    ramp = np.linspace(7000, 9550, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).round().astype(np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', ramp, rowsperstrip=8)
    expected = (ramp - 7000.0) / 10
    for name, limit in (('whole', HEIGHT * WIDTH), ('parts', HEIGHT * WIDTH - 1)):
        monkeypatch.setenv('MMDET_IR_MAX_PIXELS', str(limit))
        options = {'tile': (96, 64), 'scores': ['1'], 'scale': 1, 'device': 'cpu'}
        infer(tmp_path / 'raw.py', model[1], [tmp_path / 'a.tif'], tmp_path / name, **options)
        drawn = cv2.imread(str(tmp_path / name / 'overlays' / 'a.png')).astype(float)
        assert np.abs(drawn - expected[..., None]).max() <= 0.51
