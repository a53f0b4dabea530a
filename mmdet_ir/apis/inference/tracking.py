"""Identities over the frames of a video, by MMDetection's trackers, and what is measured along each track."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from ...fileio import write_text
from ...visualization.colors import LINES, line_color
from ...visualization.figure_file import save_figure
from ...visualization.overlay import FoundInstance
from .duplicates import merge_duplicates

TRACKERS = ('byte', 'ocsort')
LOWEST_SCORE = 0.1  # of detections that may continue a track, though they are too weak to begin one
TRACK_COLUMNS = ('track', 'class', 'first', 'last', 'frames', 'path_px', 'mean', 'max', 'unit')
POINT_COLUMNS = ('track', 'frame', 'class', 'score', 'x', 'y', 'width', 'height', 'area_px', 'mean', 'max', 'unit')
KEPT_FRAMES = 30  # for which a track that is not seen may come back
_BEGIN, _STRONG = 0.5, 0.4  # scores that begin a track, and that are matched first


class IdentityTracker:
    """Gives each detection of a video the number of its track.

    ByteTrack (Zhang et al., ECCV 2022) and OC-SORT (Cao et al., CVPR 2023) as MMDetection has them; both match boxes
    by their overlap after a Kalman filter has moved them. A target of ten pixels that moves by ten has no overlap at
    all, so that boxes can be enlarged for the matching, as C-BIoU does (Yang et al., WACV 2023). What a model finds
    twice is merged first, see ``merge_duplicates``; else each copy would be a target of its own.

    Args:
        name: ``'byte'`` or ``'ocsort'``.
        grow: By how much of its side a box is enlarged at each end for the matching.

    Raises:
        ValueError: For another name.
        ImportError: If ``lap``, or for OC-SORT ``motmetrics``, is not installed.
    """

    def __init__(self, name: str = 'byte', grow: float = 0.5) -> None:
        if name not in TRACKERS:
            raise ValueError(f'--track: expected one of {", ".join(TRACKERS)}, got {name!r}')
        common = {'motion': {'type': 'KalmanFilter'}, 'init_track_thr': _BEGIN, 'num_frames_retain': KEPT_FRAMES}
        if name == 'byte':
            scores = {'obj_score_thrs': {'high': _STRONG, 'low': LOWEST_SCORE}}
            settings = {'type': 'ByteTracker', 'weight_iou_with_det_scores': False, **scores, **common}
        else:
            settings = {'type': 'OCSORTTracker', 'obj_score_thr': _STRONG, 'match_iou_thr': 0.1, **common}
            settings['weight_iou_with_det_scores'] = False
        try:
            with DefaultScope.overwrite_default_scope('mmdet'):
                self.tracker = MODELS.build(settings)
        except RuntimeError as error:
            package = str(error).partition(' is not installed')[0]
            if package not in ('lap', 'motmetrics'):
                raise
            raise ImportError(
                f'--track {name} needs a package that is not installed: pip install {package}'
            ) from error
        self.grow = grow
        self.frame = 0

    def update(self, instances: Sequence[FoundInstance]) -> list[FoundInstance]:
        """Detections of the next frame, each target once, with their tracks; without a track, that is ``None``.

        Args:
            instances: All detections that score at least ``LOWEST_SCORE``.

        Returns:
            Best first.
        """
        instances = merge_duplicates(instances)
        boxes = torch.tensor([instance.box for instance in instances], dtype=torch.float32).reshape(-1, 4)
        sides = (boxes[:, 2:] - boxes[:, :2]) * self.grow
        grown = torch.cat([boxes[:, :2] - sides, boxes[:, 2:] + sides], dim=1)
        found = InstanceData(
            bboxes=grown,
            scores=torch.tensor([instance.score for instance in instances], dtype=torch.float32),
            labels=torch.tensor([instance.label for instance in instances], dtype=torch.long),
        )
        sample = DetDataSample(metainfo={'frame_id': self.frame}, pred_instances=found)
        tracked = self.tracker.track(sample)
        self.frame += 1
        # The trackers put detections in another order, and leave some out; their boxes are handed through unchanged.
        names = {
            (*box.tolist(), int(label)): int(number)
            for box, label, number in zip(tracked.bboxes, tracked.labels, tracked.instances_id, strict=True)
        }
        keys = [(*box.tolist(), instance.label) for box, instance in zip(grown, instances, strict=True)]
        return [replace(one, track=names.get(key)) for one, key in zip(instances, keys, strict=True)]


@dataclass
class Track:
    """What was measured along a track, one value for each frame in which its target was seen.

    Attributes:
        number: Of the track.
        label: Of the class.
        frames: Indices, rising.
        boxes: xyxy in pixels.
        scores: In 0..1.
        areas: Of the masks, in pixels.
        means: Of the values inside the mask, in ``unit``; NaN for an empty mask.
        maxima: As ``means``.
        unit: ``'grey'``, ``'counts'``, ``'celsius'`` or ``'stored'``.
    """

    number: int
    label: int
    frames: list[int] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    areas: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    maxima: list[float] = field(default_factory=list)
    unit: str = ''

    @property
    def path(self) -> float:
        """Length of the way of the box's centre, in pixels."""
        boxes = np.array(self.boxes)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        return float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum())


class TrackFiles:
    """Tables and a plot of the tracks of one video.

    Args:
        folder: Output folder.
        name: Of the video, without an ending; may hold folders.
        classes: Names, by label.
    """

    def __init__(self, folder: str | os.PathLike, name: str, classes: Sequence[str]) -> None:
        self.folder = Path(folder) / 'tracks'
        self.name = name
        self.classes = classes
        self.tracks: dict[int, Track] = {}

    def add(self, frame: int, instance: FoundInstance, mean: float, maximum: float, unit: str) -> None:
        """Adds a detection that has a track."""
        track = self.tracks.setdefault(instance.track, Track(instance.track, instance.label))
        track.frames.append(frame)
        track.boxes.append(instance.box)
        track.scores.append(instance.score)
        track.areas.append(instance.area)
        track.means.append(mean)
        track.maxima.append(maximum)
        track.unit = unit or track.unit

    def close(self, plot: bool = True) -> list[Path]:
        """Writes a row for each track, a row for each point, MOT Challenge text and a plot; returns the files.

        Without a track the texts are empty but for their headings: a video in which nothing was found counts as well,
        and files of an earlier run must not stand for it.
        """
        files = {'tracks.csv': self._summary(), 'points.csv': self._points(), 'mot.txt': self._mot()}
        paths = []
        for ending, text in files.items():
            paths.append(self.folder / f'{self.name}_{ending}')
            write_text(paths[-1], text)
        picture = self.folder / f'{self.name}.png'
        if plot and self.tracks:
            paths.append(picture)
            self._plot(picture)
        elif not self.tracks:
            picture.unlink(missing_ok=True)
        return paths

    def _summary(self) -> str:
        rows = []
        for track in self.tracks.values():
            seen = [(mean, top) for mean, top in zip(track.means, track.maxima, strict=True) if not np.isnan(mean)]
            mean, top = (f'{np.mean([m for m, _ in seen]):.3f}', f'{max(t for _, t in seen):g}') if seen else ('', '')
            ends = (track.frames[0], track.frames[-1], len(track.frames))
            rows.append((track.number, self.classes[track.label], *ends, f'{track.path:.1f}', mean, top, track.unit))
        return _csv(TRACK_COLUMNS, rows)

    def _points(self) -> str:
        rows = []
        for track in self.tracks.values():
            for i, frame in enumerate(track.frames):
                x1, y1, x2, y2 = track.boxes[i]
                box = [f'{value:.2f}' for value in (x1, y1, x2 - x1, y2 - y1)]
                values = ['' if np.isnan(v) else f'{v:.3f}' for v in (track.means[i], track.maxima[i])]
                name = self.classes[track.label]
                row = (track.number, frame, name, f'{track.scores[i]:.5f}', *box, track.areas[i], *values, track.unit)
                rows.append(row)
        return _csv(POINT_COLUMNS, rows)

    def _mot(self) -> str:
        """MOT Challenge's text: frames and tracks count from 1, boxes are x, y, width, height."""
        lines = []
        for track in self.tracks.values():
            for frame, (x1, y1, x2, y2), score in zip(track.frames, track.boxes, track.scores, strict=True):
                box = f'{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}'
                lines.append((frame, track.number, f'{frame + 1},{track.number + 1},{box},{score:.5f},-1,-1,-1'))
        return ''.join(f'{line}\n' for *_, line in sorted(lines))

    def _plot(self, path: Path) -> None:
        figure = Figure(figsize=(8, 4), dpi=110, layout='constrained')
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        longest = sorted(self.tracks.values(), key=lambda track: -len(track.frames))[: len(LINES)]
        for index, track in enumerate(sorted(longest, key=lambda track: track.number)):
            label = f'{track.number} {self.classes[track.label]}'
            axes.plot(track.frames, track.means, color=line_color(index), linewidth=1.4, label=label)
            axes.plot(track.frames, track.maxima, color=line_color(index), linewidth=0.7, linestyle=':')
        units = {'celsius': 'degrees Celsius', 'grey': 'grey level', 'counts': 'counts', 'stored': 'value as stored'}
        unit = next((track.unit for track in longest if track.unit), 'stored')
        axes.set(xlabel='frame', ylabel=f'{units.get(unit, unit)} in the mask: mean, maximum (dotted)')
        title = f'the {len(longest)} longest of {len(self.tracks)} tracks' if len(self.tracks) > len(longest) else None
        axes.legend(fontsize=8, ncols=2, title=title, title_fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, path)


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()
