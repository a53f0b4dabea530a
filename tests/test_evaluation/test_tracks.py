"""Scores of tracks, derived by hand."""

from pathlib import Path

from mmdet_ir.evaluation.tracks import Tracks, read_mot, score_tracks

import numpy as np
import pytest

pytest.importorskip('trackeval')


def track(identities: list[int | None]) -> Tracks:
    """A target that moves by 3 pixels a frame, with the identity of each frame."""
    return {
        frame: (np.array([one]), np.array([[10.0 + 3 * frame, 20, 12, 8]]))
        for frame, one in enumerate(identities, start=1)
        if one is not None
    }


def test_a_perfect_tracker() -> None:
    (row, together) = score_tracks([(track([4] * 10), track([9] * 10))])
    assert row == together
    assert [row[name] for name in ('HOTA', 'IDF1', 'MOTA')] == pytest.approx([1, 1, 1])
    assert [row[name] for name in ('switches', 'fragments', 'misses', 'false')] == [0, 0, 0, 0]


def test_an_identity_that_changes_halfway() -> None:
    row = score_tracks([(track([1] * 10), track([1] * 5 + [2] * 5))])[0]
    # 5 of 10 boxes have the better of both identities; each box shares 5 of 10 with its track: sqrt(1 * 0.5)
    assert row['IDF1'] == pytest.approx(0.5) and row['HOTA'] == pytest.approx(0.5**0.5)
    assert row['MOTA'] == pytest.approx(1 - 1 / 10)
    assert (row['switches'], row['fragments'], row['misses']) == (1, 0, 0)


def test_gaps_and_false_boxes_over_two_sequences() -> None:
    gap = track([1] * 4 + [None] * 2 + [1] * 4)
    rows = score_tracks([(track([1] * 10), gap), (track([1] * 5), track([None] * 5 + [3]))])
    assert (rows[0]['fragments'], rows[0]['misses'], rows[0]['switches']) == (1, 2, 0)
    assert rows[0]['IDF1'] == pytest.approx(2 * 8 / (10 + 8))
    assert (rows[1]['misses'], rows[1]['false'], rows[1]['IDF1']) == (5, 1, 0)
    assert rows[2]['misses'] == 7 and rows[2]['IDF1'] == pytest.approx(2 * 8 / (15 + 9))


def test_what_is_not_to_be_considered_is_no_target(tmp_path: Path) -> None:
    """MOT Challenge marks distractors by a seventh number of 0; in found tracks it is the score."""
    path = tmp_path / 'gt.txt'
    path.write_text('1,1,10,10,8,6,1,1,1\n1,2,40,10,8,6,0,8,0.3\n2,2,40,10,8,6,0.00,8,0.3\n')
    (tmp_path / 'short.txt').write_text('1,1,10,10,8,6,\n2,1,10,10,8,6,car\n3,1,10,10,8,6\n')
    assert set(read_mot(tmp_path / 'short.txt', truth=True)) == {1, 2, 3}
    assert {frame: ids.tolist() for frame, (ids, _) in read_mot(path, truth=True).items()} == {1: [1]}
    assert {frame: ids.tolist() for frame, (ids, _) in read_mot(path).items()} == {1: [1, 2], 2: [2]}


def test_mot_text(tmp_path: Path) -> None:
    path = tmp_path / 'a_mot.txt'
    path.write_text('1,3,10.5,20,5,6,0.9,-1,-1,-1\n\n2,3,11,20,5,6,0.9,-1,-1,-1\n2,4,50,60,5,6,1,-1,-1,-1\n')
    tracks = read_mot(path)
    assert tracks[2][0].tolist() == [3, 4] and tracks[1][1].tolist() == [[10.5, 20, 5, 6]]
    path.write_text('1,3,10.5,20,5,6\n1,3,x,20,5,6\n')
    with pytest.raises(ValueError, match=r'a_mot.txt, line 2: expected frame,identity,x,y,width,height'):
        read_mot(path)
    with pytest.raises(ValueError, match='at least one sequence'):
        score_tracks([])
