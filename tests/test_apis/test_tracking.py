"""Identities of targets whose motion is known, and the tables of their tracks against values worked out by hand."""

import csv
from dataclasses import replace
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.apis.inference.duplicates import merge_duplicates
from mmdet_ir.apis.inference.smoothing import TrackSmoother
from mmdet_ir.apis.inference.tracking import IdentityTracker, TrackFiles
from mmdet_ir.evaluation.tracks import read_mot
from mmdet_ir.visualization.overlay import FoundInstance

import numpy as np
import pytest
from pycocotools import mask as mask_utils

pytest.importorskip('lap')


def detection(x: float, y: float, side: float = 20, label: int = 0, score: float = 0.9) -> FoundInstance:
    box = (x, y, x + side, y + side)
    mask = np.zeros((160, 160), np.uint8, order='F')
    mask[int(y) : int(y) + 2, int(x) : int(x) + 2] = 1
    return FoundInstance(label, score, box, mask_utils.encode(mask), 4, (int(x), int(y)), np.ones((2, 2), bool))


def follow(frames: list[list[FoundInstance]], name: str, **settings: float) -> list[list[int | None]]:
    tracker = IdentityTracker(name, **settings)
    return [[instance.track for instance in tracker.update(frame)] for frame in frames]


@pytest.mark.parametrize('name', ['byte', 'ocsort'])
def test_two_targets_keep_their_numbers_in_any_order(name: str) -> None:
    """They move towards each other in two rows; the order of the detections changes with every frame."""
    if name == 'ocsort':
        pytest.importorskip('motmetrics')
    frames, truth = [], []
    for t in range(20):
        pair = [(detection(10 + 4 * t, 20), 'a'), (detection(90 - 4 * t, 60), 'b')]
        pair = pair if t % 2 else pair[::-1]
        frames.append([one for one, _ in pair])
        truth.append([number for _, number in pair])
    found = follow(frames, name)
    names = {(number, true) for row, true_row in zip(found, truth, strict=True) for number, true in zip(row, true_row)}  # noqa: B905
    assert len(names) == 2 and len({number for number, _ in names}) == 2 and None not in {n for n, _ in names}


def test_a_target_that_is_missed_for_a_few_frames_comes_back_with_its_number() -> None:
    frames = [[detection(10 + 3 * t, 20)] if t not in (8, 9, 10) else [] for t in range(20)]
    numbers = [row[0] for row in follow(frames, 'byte') if row]
    assert len(set(numbers)) == 1


def test_weak_detections_continue_a_track_and_begin_none() -> None:
    frames = [
        [detection(10 + 2 * t, 20, score=0.9 if t < 5 else 0.2), detection(100, 100, score=0.2)] for t in range(10)
    ]
    found = follow(frames, 'byte')
    assert {row[0] for row in found} == {found[0][0]} and found[0][0] is not None
    assert {row[1] for row in found} == {None}


def test_a_small_fast_target_needs_larger_boxes() -> None:
    """A target of 6 pixels that moves by 7: its boxes never overlap."""
    frames = [[detection(10 + 7 * t, 20, side=6)] for t in range(12)]
    assert len({row[0] for row in follow(frames, 'byte', grow=1.0)}) == 1
    assert len({row[0] for row in follow(frames, 'byte', grow=0.0)}) > 1


def test_classes_are_not_mixed() -> None:
    frames = [[detection(10, 20, label=t % 2)] for t in range(6)]
    numbers = [row[0] for row in follow(frames, 'byte')]
    assert not set(numbers[::2]) & set(numbers[1::2])


def test_a_target_that_is_found_twice_has_one_number() -> None:
    """A second, wider box around each target, whose mask shows the same pixels; two real neighbours stay two."""
    frames = []
    for t in range(6):
        x = 10 + 2 * t
        wide = replace(detection(x, 20), box=(x - 8, 12, x + 28, 48), score=0.5)
        frames.append([wide, detection(x, 20), detection(x + 6, 20)])
    tracker = IdentityTracker('byte')
    for t, frame in enumerate(frames):
        first, second = sorted(tracker.update(frame), key=lambda one: one.corner)
        x = 10 + 2 * t
        mean = [(0.9 * a + 0.5 * b) / 1.4 for a, b in zip((x, 20, x + 20, 40), (x - 8, 12, x + 28, 48), strict=True)]
        assert first.box == pytest.approx(mean) and first.score == 0.9
        assert second.box == (x + 6, 20, x + 26, 40)
        assert {first.track, second.track} == {0, 1}  # and no third one


def test_duplicates_are_of_one_class_and_of_overlapping_masks() -> None:
    other, apart = detection(10, 20, label=1, score=0.8), detection(11, 20, score=0.7)
    found = merge_duplicates([apart, other, detection(10, 20)])
    assert [(one.label, one.score) for one in found] == [(0, 0.9), (1, 0.8)]  # half of a mask is enough
    found = merge_duplicates([apart, detection(10, 20)], share=0.6)
    assert [one.score for one in found] == [0.9, 0.7] and merge_duplicates([]) == []
    assert len(merge_duplicates([detection(10, 20, score=0.0)] * 2)) == 1


def test_tables(tmp_path) -> None:
    files = TrackFiles(tmp_path, 'clips/a', ('human', 'uav'))
    for t in range(3):  # 3 pixels right and 4 down each time: 5 pixels
        one = replace(detection(10 + 3 * t, 20 + 4 * t, label=1), track=7)
        files.add(t + 2, one, 20.0 + t, 30.0 + 2 * t, 'celsius')
    files.add(5, replace(detection(90, 90), track=8), float('nan'), float('nan'), '')
    names = {path.name for path in files.close()}
    assert names == {'a_tracks.csv', 'a_points.csv', 'a_mot.txt', 'a.png'}
    folder = tmp_path / 'tracks' / 'clips'
    with (folder / 'a_tracks.csv').open(newline='') as file:
        first, second = csv.DictReader(file)
    assert (first['track'], first['class'], first['first'], first['last'], first['frames']) == (
        '7',
        'uav',
        '2',
        '4',
        '3',
    )
    assert (first['path_px'], first['mean'], first['max'], first['unit']) == ('10.0', '21.000', '34', 'celsius')
    assert (second['mean'], second['max'], second['path_px']) == ('', '', '0.0')
    lines = (folder / 'a_mot.txt').read_text().splitlines()
    assert lines[0] == '3,8,10.00,20.00,20.00,20.00,0.90000,-1,-1,-1' and len(lines) == 4


def test_a_video_without_a_track_has_empty_files(tmp_path: Path) -> None:
    """Not those of an earlier run with another score, and not none, which would leave the video out of a score."""
    (tmp_path / 'tracks').mkdir()
    for name in ('empty_mot.txt', 'empty.png'):
        (tmp_path / 'tracks' / name).write_text('of an earlier run')
    written = TrackFiles(tmp_path, 'empty', ('human',)).close()
    assert sorted(path.name for path in written) == ['empty_mot.txt', 'empty_points.csv', 'empty_tracks.csv']
    assert sorted(written) == sorted((tmp_path / 'tracks').iterdir())
    assert read_mot(tmp_path / 'tracks' / 'empty_mot.txt') == {}


def seen(x: float, mask: np.ndarray, score: float = 0.8, track: int | None = 1) -> FoundInstance:
    """A detection whose mask begins at the corner of its box of 6x6 pixels, in an image of 40x60."""
    rle = {'size': [40, 60], 'counts': ''}
    return FoundInstance(0, score, (x, 10, x + 6, 16), rle, int(mask.sum()), (int(x), 10), mask, track=track)


def test_smoothing_follows_the_target_and_outvotes_single_frames() -> None:
    """A mask of 6x6 moves by 3 a frame; in one frame a row is missing, in another one there is a row too many."""
    whole, less = np.ones((6, 6), bool), np.ones((5, 6), bool)
    more = np.ones((8, 6), bool)
    smoother, steady = TrackSmoother(0.7), []
    for frame, mask in enumerate([whole, whole, whole, less, whole, more, whole]):
        steady += smoother.update([seen(5 + 3 * frame, mask, score=0.8 if frame != 3 else 0.3)])
    assert [one.corner for one in steady] == [(5 + 3 * frame, 10) for frame in range(7)]
    assert [one.area for one in steady] == [36] * 7
    for one in steady[1:]:
        decoded = mask_utils.decode(one.rle)
        x, y = one.corner
        assert decoded.shape == (40, 60) and decoded.sum() == 36 and decoded[y : y + 6, x : x + 6].all()
    assert steady[3].score == pytest.approx(0.7 * 0.8 + 0.3 * 0.3) and steady[3].box == (14, 10, 20, 16)


def test_smoothing_gives_way_to_what_stays() -> None:
    """Half of a mask is hidden for good: after some frames it is gone. Another track, and none, are let alone."""
    smoother = TrackSmoother(0.7)
    areas = []
    for frame in range(8):
        mask = np.ones((6, 6 if frame < 2 else 3), bool)
        first, second, third = smoother.update(
            [seen(5, mask), seen(30, ~mask[:2], track=2), seen(50, mask, track=None)]
        )
        areas.append(first.area)
        assert third.track is None and third.area == mask.sum()
        assert second.area == 0
    assert areas[:2] == [36, 36] and areas[2] == 36 and areas[-1] == 18


def test_smoothing_at_the_border_and_after_a_gap() -> None:
    smoother = TrackSmoother(0.6)
    for x in (0, -4, 57):  # the target leaves the image, and comes back elsewhere
        (one,) = smoother.update([replace(seen(max(x, 0), np.ones((6, 3), bool)), box=(x, 10, x + 6, 16))])
        x0, y0 = one.corner
        assert x0 >= 0 and x0 + one.crop.shape[1] <= 60 and y0 >= 0
    for _ in range(40):
        smoother.update([])
    assert not smoother.states


@pytest.mark.parametrize('share', [0, 1, -1, 1.5])
def test_a_share_out_of_range_is_told(share: float) -> None:
    with pytest.raises(ValueError, match='--smooth: expected a share above 0 and below 1'):
        TrackSmoother(share)


def test_an_unknown_tracker_is_told() -> None:
    with pytest.raises(ValueError, match='expected one of byte, ocsort'):
        IdentityTracker('sort')
