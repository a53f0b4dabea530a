"""Inference from the command line: files in, drawn pictures, videos and tables out."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...datasets.images.opencv_log import opencv_silenced
from ...fileio import unique_name, write_text
from ...visualization.overlay import FoundInstance, draw_instances, find_instances, write_picture
from ...visualization.picture import as_picture
from .inferencer import IRInferencer
from .inputs import Frame, Skipped, Source, count_frames, find_sources, frame_rate, read_frames
from .live import DEFAULT_TIMEOUT, RawFrames
from .outputs import ResultFiles, VideoFile
from .overview import MappedParts, reduction, small_instances, small_picture
from .parallel import WriteBehind, read_ahead
from .smoothing import TrackSmoother
from .stopping import stop_on_signal
from .thresholds import TrackThreshold, score_thresholds
from .tiles import plan_tiles
from .tracking import LOWEST_SCORE, IdentityTracker, TrackFiles

REPORT = 'report.json'


def infer(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    inputs: Sequence[str],
    out: str | os.PathLike,
    *,
    batch_size: int = 1,
    device: str | None = None,
    scores: Sequence[str] = ('0.3',),
    fps: float | None = None,
    scale: int | None = None,
    pictures: bool = True,
    overwrite: bool = False,
    tile: tuple[int, int] | None = None,
    overlap: float = 0.2,
    track: str | None = None,
    smooth: float | None = None,
    raw: RawFrames | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    every_frame: bool = False,
    cfg_options: dict | None = None,
) -> dict:
    """Runs a model on files of any kind and writes what it finds.

    Into ``out`` go ``overlays/`` (PNG, one for each image), ``videos/`` (MP4), ``detections.json``,
    ``detections.csv`` and ``report.json``. Frames are read, predicted and written one batch at a time, while the batch
    before is written and the next one is read. What cannot be read is left out and listed in the report. The first
    Ctrl-C ends the run after the batches at hand, and all files hold what was done until then.

    Args:
        config: Config file.
        checkpoint: Trained weights, file or URL.
        inputs: See ``find_sources``.
        out: Folder; has to be new or empty unless ``overwrite`` is set.
        batch_size: Frames of one size and source that are predicted together; with ``tile``, tiles of a frame.
        device: Defaults to the GPU if there is one.
        scores: Lowest score, as a number for all classes or as ``class=number``; see ``score_thresholds``.
        fps: See ``find_sources``.
        scale: Enlarges the drawings by this whole number; ``None`` brings small images to 960 pixels at most.
        pictures: Whether to draw at all.
        overwrite: Files of the same names in ``out`` may be replaced; an input never is.
        tile: Width and height of the tiles that frames are cut into; ``None`` to take them whole. See
            ``IRInferencer.predict_tiled``.
        overlap: Share of a tile that its neighbour sees, too.
        track: ``'byte'`` or ``'ocsort'`` to follow targets through videos, stacks and sequences: see
            ``IdentityTracker``. Tables and a plot of each video's tracks go to ``tracks/``.
        smooth: Share of the earlier frames in the score and the mask of a track, see ``TrackSmoother``; ``None`` takes
            each frame as it is.
        raw: Layout of the frames on standard input, for the input ``-``.
        timeout: Seconds after which a live source without a new frame is taken to have ended.
        every_frame: Live sources wait for the model, instead of losing the frames for which it has no time.
        cfg_options: Settings that replace the config's.

    Returns:
        What ``report.json`` holds.

    Raises:
        FileNotFoundError: If config, checkpoint or an input is missing.
        ValueError: If an argument is wrong, the output folder is not empty, an output would replace an input, the
            checkpoint does not fit, or none of the inputs could be used.

    Example:
        >>> from mmdet_ir.apis import infer
        >>> report = infer('config.py', 'weights.pth', ['images/*.png'], 'found', device='cpu', pictures=False)
        >>> report['frames'], report['skipped']
        (3, [])
    """
    out = Path(out)
    if batch_size < 1:
        raise ValueError(f'batch size: expected at least 1, got {batch_size}')
    if scale is not None and scale < 1:
        raise ValueError(f'scale: expected a whole number from 1 on, got {scale}')
    if tile is not None:
        plan_tiles(tile[::-1], tile, overlap)  # refuses a wrong overlap now
    sources = find_sources(inputs, out, fps, raw, timeout, every_frame)
    if track is not None:
        IdentityTracker(track)  # refuses a wrong name, or a missing package, now
        if still := [source.name for source in sources if not source.video and count_frames(source) < 2]:
            raise ValueError(
                f'--track: expected videos, stacks, or images that --fps makes a video of, got the image {still[0]}'
            )
    if smooth is not None:
        TrackSmoother(smooth)  # refuses a wrong share now
        if track is None:
            raise ValueError('--smooth: expected --track, along whose tracks scores and masks are smoothed')
    _check_outputs(out, sources, overwrite)
    inferencer = IRInferencer(config, checkpoint, device, show_progress=False, cfg_options=cfg_options)
    thresholds = score_thresholds(scores, inferencer.classes)
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(inferencer, out, thresholds, batch_size, scale, pictures, tile, overlap, track, smooth)
    run.report |= {'config': str(config), 'checkpoint': str(checkpoint)}
    with opencv_silenced():
        return run(sources)


class _Run:
    """One run over all sources; the arguments are those of ``infer``."""

    def __init__(
        self,
        inferencer: IRInferencer,
        out: Path,
        thresholds: np.ndarray,
        batch_size: int,
        scale: int | None,
        pictures: bool,
        tile: tuple[int, int] | None,
        overlap: float,
        track: str | None,
        smooth: float | None,
    ) -> None:
        self.inferencer = inferencer
        self.out = out
        self.thresholds = thresholds
        self.batch_size = batch_size
        self.scale = scale
        self.pictures = pictures
        self.tile = tile
        self.overlap = overlap
        self.track = track
        self.smooth = smooth
        # (a weak detection may continue a track)
        self.lowest = thresholds if track is None else np.minimum(thresholds, LOWEST_SCORE)
        self.tracker: IdentityTracker | None = None
        self.keep: TrackThreshold | None = None
        self.smoother: TrackSmoother | None = None
        self.tracks: TrackFiles | None = None
        self.counts: Counter = Counter()
        self.skipped: list[dict] = []
        self.done = 0
        self.names: set[str] = set()
        self.used: set[str] = set()  # inputs of which at least one frame was used
        device = str(next(inferencer.model.parameters()).device)
        # (on the CPU the model has all cores: a thread that writes beside it costs more than writing in between)
        self.behind = 0 if device == 'cpu' else 2
        scores = dict(zip(inferencer.classes, thresholds.tolist(), strict=True))
        self.report: dict = {'device': device, 'scores': scores, 'complete': False, 'outputs': []}
        if tile is not None:
            self.report |= {'tile': list(tile), 'overlap': overlap, 'reduced': []}

    def __call__(self, sources: Sequence[Source]) -> dict:
        info = {'config': self.report['config'], 'checkpoint': self.report['checkpoint'], 'masks': 'predicted'}
        results = ResultFiles(self.out, self.inferencer.classes, info, self.inferencer.measured)
        start, finished = time.monotonic(), False
        try:
            with (
                stop_on_signal() as stop,
                tqdm(total=sum(map(count_frames, sources)) or None, desc='inference', unit='frame') as progress,
            ):
                for source in sources:
                    self._work_on(source, results, stop, progress)
                    if stop.is_set():
                        break
                finished = not stop.is_set()
        finally:
            # (whatever happened, what was done so far is complete)
            self.report['outputs'] += [str(path.relative_to(self.out)) for path in results.close()]
            self.report |= {
                'complete': finished,
                'sources': len(sources),
                'frames': self.done,
                'seconds': round(time.monotonic() - start, 2),
                'instances': {name: self.counts[i] for i, name in enumerate(self.inferencer.classes)},
                'skipped': self.skipped,
                'lost': [given for given in dict.fromkeys(s.given for s in sources) if given not in self.used],
            }
            write_text(self.out / REPORT, json.dumps(self.report, indent=2) + '\n')
        if finished and not self.done:
            raise ValueError(
                f'none of the inputs could be used; the first: {self.skipped[0]["reason"]} '
                f'({self.out / REPORT} lists all)'
            )
        return self.report

    def _work_on(self, source: Source, results: ResultFiles, stop: threading.Event, progress: tqdm) -> None:
        video = None
        if source.live is not None:
            source.live.open()
        if self.track is not None:
            self.tracker, self.keep = IdentityTracker(self.track), TrackThreshold(self.thresholds)
            self.smoother = TrackSmoother(self.smooth) if self.smooth is not None else None
            self.tracks = TrackFiles(self.out, source.name, self.inferencer.classes)
        if self.pictures and source.video:
            video = VideoFile(self.out / f'videos/{source.name}.mp4', frame_rate(source))
        before = self.done
        try:
            batches = self._batches(source, stop, progress)
            ahead = 2 if source.live is None else 1  # (what waits of a live source grows old)
            with WriteBehind(self.behind) as writing:
                # (of large images, only the one at hand is in memory)
                for batch in batches if self.tile is not None else read_ahead(batches, ahead):
                    writing.call(self._write_batch, batch, self._predict(batch), results, video, progress)
                    if stop.is_set():
                        break
        finally:
            written = [] if video is None else [video.close()]
            if self.tracks is not None and self.done > before:  # (what was not read has no tracks, not even none)
                written += self.tracks.close(self.pictures)
            self.report['outputs'] += [str(path.relative_to(self.out)) for path in written if path is not None]
            if source.live is not None:
                live = {'input': source.given, 'received': source.live.received, 'dropped': source.live.dropped}
                self.report.setdefault('live', []).append(live)

    def _batches(self, source: Source, stop: threading.Event, progress: tqdm) -> Iterator[list[tuple[Frame, dict]]]:
        """Frames with what the model takes, in batches of one size; padding would change what is found."""
        batch: list[tuple[Frame, dict]] = []
        read = partial(self.inferencer.read, by_parts=self.tile is not None)
        for item in read_frames(source, read, stop.is_set):
            if stop.is_set():
                return
            data = None
            if isinstance(item, Frame) and self.tile is not None:
                yield [(item, {})]
                continue
            if isinstance(item, Frame):
                try:
                    data = self.inferencer.prepare(item.image, item.path)
                except ValueError as error:
                    if source.live is not None:  # (the next frames will not be others)
                        raise
                    item = Skipped(item.path, item.index, str(error))
            if isinstance(item, Skipped):
                self.skipped.append({'path': str(item.path), 'frame': item.index, 'reason': item.reason})
                progress.update()
                continue
            if batch and batch[0][1]['inputs'].shape != data['inputs'].shape:
                yield batch
                batch = []
            batch.append((item, data))
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _predict(self, batch: list[tuple[Frame, dict]]) -> list:
        """What is found in each frame of a batch: the model's own detections, or what ``_predict_tiles`` returns."""
        if self.tile is not None:
            return [self._predict_tiles(batch[0][0])]
        return self.inferencer.predict([data for _, data in batch])

    def _predict_tiles(self, frame: Frame) -> tuple[list[FoundInstance], np.ndarray | MappedParts] | str:
        """Detections of a frame in tiles, and what the model saw; or why there are none."""
        total = len(plan_tiles(frame.image.shape[:2], self.tile, self.overlap))
        try:
            with tqdm(total=total, desc=frame.path.name, unit='tile', leave=False, disable=total < 2) as tiles:
                return self.inferencer.predict_tiled(
                    frame.image, frame.path, self.tile, self.overlap, self.lowest, self.batch_size, tiles.update
                )
        except ValueError as error:
            return str(error)

    def _write_batch(
        self,
        batch: list[tuple[Frame, dict]],
        found: list,
        results: ResultFiles,
        video: VideoFile | None,
        progress: tqdm,
    ) -> None:
        """Writes all about the frames of a batch, one after the other; empties batch and detections on the way."""
        while batch:
            (frame, data), prediction = batch.pop(0), found.pop(0)
            picture = None
            if isinstance(prediction, str):
                self.skipped.append({'path': str(frame.path), 'frame': frame.index, 'reason': prediction})
            elif self.tile is not None:
                instances, levels = prediction
                factor = reduction(levels) if self.pictures else 1
                picture = small_picture(levels, factor) if self.pictures else None
                if factor > 1:
                    self.report['reduced'].append({'path': str(frame.path), 'frame': frame.index, 'factor': factor})
                self._write(frame, instances, picture, results, video, factor)
            else:
                instances = find_instances(prediction, self.lowest)
                if self.pictures:
                    picture = as_picture(data['inputs'], data['data_samples'].metainfo)
                self._write(frame, instances, picture, results, video)
            progress.update()

    def _write(
        self,
        frame: Frame,
        instances: list[FoundInstance],
        picture: np.ndarray | None,
        results: ResultFiles,
        video: VideoFile | None,
        factor: int = 1,
    ) -> None:
        """Writes all about a frame; ``picture`` is RGB, ``factor`` times smaller than it; ``None`` to draw nothing."""
        if self.tracker is not None:
            instances = self.tracker.update(instances)
            if self.smoother is not None:
                instances = self.smoother.update(instances)
            instances = self._follow(frame, instances, results)
        if picture is not None:
            shown, scale = small_instances(instances, factor), self.scale if factor == 1 else 1
            # (labels keep their size and would cover a picture that shows many times more)
            drawn = draw_instances(
                picture, shown, self.inferencer.classes, self.inferencer.colors, scale, labels=factor == 1
            )
            if video is not None:
                video.add(drawn)
            else:
                name = Path(unique_name(_overlay_name(frame.source, frame.index), self.names))
                write_picture(self.out / name, drawn)
                self.report['outputs'].append(str(name))
        results.add(frame, instances)
        self.counts.update(instance.label for instance in instances)
        self.done += 1
        self.used.add(frame.source.given)

    def _follow(self, frame: Frame, instances: list[FoundInstance], results: ResultFiles) -> list[FoundInstance]:
        """Notes the tracks, and leaves out weak detections that continue no track."""
        kept = self.keep(instances)
        for instance in kept:
            if instance.track is not None:
                mean, maximum, unit = results.measured(frame, instance)
                values = (float(mean or 'nan'), float(maximum or 'nan'))
                self.tracks.add(frame.index or 0, instance, *values, unit)
        return kept


def _overlay_name(source: Source, index: int | None) -> str:
    return f'overlays/{source.name}.png' if index is None else f'overlays/{source.name}_{index:05d}.png'


def _check_outputs(out: Path, sources: Sequence[Source], overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f'output {out}: expected a folder, got a file')
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise ValueError(
            f'output folder {out} is not empty; choose another, or pass --overwrite to replace files of the same names'
        )
    folders = [(out / name).resolve() for name in ('overlays', 'videos')]
    for file in (file for source in sources if source.live is None for file in source.files):
        if any(file.resolve().is_relative_to(folder) for folder in folders):
            raise ValueError(f'output: {out} holds the input {file}, which could be replaced; choose another folder')
