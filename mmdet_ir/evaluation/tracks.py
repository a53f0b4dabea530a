"""Scores of tracks against known identities, by TrackEval, the MOT Challenge's own evaluation."""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_iou

TRACK_COLUMNS = ('HOTA', 'DetA', 'AssA', 'IDF1', 'MOTA', 'switches', 'fragments', 'misses', 'false')
_ZERO = re.compile(r'[+-]?0+(\.0*)?')
_METRICS = ('HOTA', 'CLEAR', 'Identity')
Tracks = dict[
    int, tuple[np.ndarray, np.ndarray]
]  # frame from 1 on -> identities [n], boxes [n, 4] x, y, width, height


def read_mot(path: str | Path, truth: bool = False) -> Tracks:
    """Tracks from MOT Challenge text: ``frame,identity,x,y,width,height,...``, frames from 1 on.

    Args:
        path: The file.
        truth: Whether it holds known tracks, where a seventh number of 0 marks what is not to be considered; these
            lines are left out, and tracks found on them count as false. (In found tracks the seventh number is the
            score.)

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is none of that form; the message names it.
    """
    rows: dict[int, list[tuple[int, list[float]]]] = {}
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split(',')
        try:
            frame, identity, *box = (float(value) for value in fields[:6])
            if len(box) != 4 or frame < 1:
                raise ValueError
        except ValueError as error:
            raise ValueError(
                f'{path}, line {number}: expected frame,identity,x,y,width,height, got {line!r}'
            ) from error
        if truth and len(fields) > 6 and _ZERO.fullmatch(fields[6].strip()):
            continue
        rows.setdefault(int(frame), []).append((int(identity), box))
    return {
        frame: (np.array([one for one, _ in found]), np.array([box for _, box in found]))
        for frame, found in rows.items()
    }


def score_tracks(sequences: Sequence[tuple[Tracks, Tracks]]) -> list[dict[str, float]]:
    """Scores of each sequence, and of all together at the end.

    Args:
        sequences: Known and found tracks of each; boxes match from an IoU of 0.5 on (HOTA: mean over 0.05 to 0.95).

    Returns:
        For each sequence and for all: :data:`TRACK_COLUMNS`; shares from 0 to 1, and numbers of identity switches,
        interruptions, boxes that were missed, and boxes that are false.

    Raises:
        ImportError: If ``trackeval`` is not installed.
        ValueError: If there are no sequences.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.evaluation.tracks import score_tracks
        >>> known = {1: (np.array([7]), np.array([[10.0, 10, 8, 6]]))}
        >>> score_tracks([(known, known)])[-1]['IDF1']
        1.0
    """
    if not sequences:
        raise ValueError('tracks: expected at least one sequence, got none')
    try:
        module = importlib.import_module('trackeval.metrics')
    except ModuleNotFoundError as error:
        raise ImportError('scores of tracks need a package that is not installed: pip install trackeval') from error
    metrics = {name: getattr(module, name)({'PRINT_CONFIG': False}) for name in _METRICS if name != 'HOTA'}
    metrics['HOTA'] = module.HOTA()
    results: dict[str, dict] = {name: {} for name in _METRICS}
    for number, (known, found) in enumerate(sequences):
        data = _as_data(known, found)
        for name, metric in metrics.items():
            results[name][str(number)] = metric.eval_sequence(data)
        interrupted = metrics['CLEAR'].eval_sequence(_with_a_box_in_each_frame(data))
        results['CLEAR'][str(number)]['Frag'] = interrupted['Frag']
    rows = [{name: results[name][str(number)] for name in _METRICS} for number in range(len(sequences))]
    rows.append({name: metrics[name].combine_sequences(results[name]) for name in _METRICS})
    return [_row(row) for row in rows]


def _row(found: dict[str, dict]) -> dict[str, float]:
    hota, clear, identity = (found[name] for name in _METRICS)
    shares = {name: float(np.mean(hota[name])) for name in ('HOTA', 'DetA', 'AssA')}
    counts = {'switches': 'IDSW', 'fragments': 'Frag', 'misses': 'CLR_FN', 'false': 'CLR_FP'}
    shares |= {'IDF1': float(identity['IDF1']), 'MOTA': float(clear['MOTA'])}
    return shares | {name: int(clear[key]) for name, key in counts.items()}


def _as_data(known: Tracks, found: Tracks) -> dict:
    """What TrackEval calculates with: identities from 0 on, and the IoU of all boxes of each frame."""
    frames = sorted(set(known) | set(found))
    nothing = (np.zeros(0, int), np.zeros((0, 4)))
    data: dict = {'num_timesteps': len(frames), 'gt_ids': [], 'tracker_ids': [], 'similarity_scores': []}
    numbers: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for frame in frames:
        sides = known.get(frame, nothing), found.get(frame, nothing)
        for key, (identities, _), names in zip(('gt_ids', 'tracker_ids'), sides, numbers, strict=True):
            data[key].append(np.array([names.setdefault(int(one), len(names)) for one in identities], int))
        corners = [torch.as_tensor(np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]).reshape(-1, 4)) for _, b in sides]
        data['similarity_scores'].append(box_iou(*corners).numpy())
    for side, key, names in zip(('gt', 'tracker'), ('gt_ids', 'tracker_ids'), numbers, strict=True):
        data[f'num_{side}_ids'], data[f'num_{side}_dets'] = len(names), sum(map(len, data[key]))
    return data


def _with_a_box_in_each_frame(data: dict) -> dict:
    """With a false box where a frame has none: TrackEval sees no interruption in a frame without any box."""
    extra = data['num_tracker_ids']
    empty = [not len(ids) for ids in data['tracker_ids']]
    ids = [np.array([extra]) if none else own for own, none in zip(data['tracker_ids'], empty, strict=True)]
    similar = [
        np.zeros((own.shape[0], 1)) if none else own
        for own, none in zip(data['similarity_scores'], empty, strict=True)
    ]
    sizes = {'num_tracker_ids': extra + 1, 'num_tracker_dets': data['num_tracker_dets'] + sum(empty)}
    return {**data, **sizes, 'tracker_ids': ids, 'similarity_scores': similar}
