"""What inference writes: COCO JSON, CSV and videos, streamed to temporary files and renamed when they are whole."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np

from ...visualization.overlay import FoundInstance
from .inputs import Frame

CODEC = 'mp4v'  # MPEG-4 part 2: OpenCV's own builds write and read it; they have no encoder for H.264
COLUMNS = ('file_name', 'frame', 'class', 'score', 'x', 'y', 'width', 'height', 'area_px', 'mean', 'max', 'unit')
_ENCODER = 'OPENCV_FFMPEG_WRITER_OPTIONS'  # which OpenCV reads whenever it opens a writer
Measure = Callable[[np.ndarray, Path], tuple[np.ndarray, str]]


class ResultFiles:
    """``detections.json`` in COCO's form and ``detections.csv`` with one row for each instance.

    Frames are added one after the other; ``close`` puts both files in place, with what was added until then.

    Args:
        folder: Output folder, exists.
        classes: Names, by label; category ids count from 1.
        info: For the JSON's ``info``.
        measure: Turns a part of an image as read into values and their unit, as ``IRInferencer.measured``.
    """

    def __init__(self, folder: Path, classes: Sequence[str], info: dict, measure: Measure) -> None:
        self.folder = folder
        self.classes = classes
        self.info = info
        self.measure = measure
        self.images = self.annotations = 0
        self._parts: dict[str, TextIO] = {}
        for part in ('images', 'annotations', 'csv'):
            self._parts[part] = _temporary(folder / part).open('w', encoding='utf-8', newline='')
        csv.writer(self._parts['csv']).writerow(COLUMNS)

    def add(self, frame: Frame, instances: Sequence[FoundInstance]) -> None:
        """Adds a frame with its detections.

        Args:
            frame: With the image as read; its values are measured inside the masks.
            instances: In pixels of the image.
        """
        self.images += 1
        image = _image_entry(frame, self.images)
        annotations, rows = [], []
        for instance in instances:
            x1, y1, x2, y2 = instance.box
            box = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(
                {
                    'id': self.annotations + len(annotations) + 1,
                    'image_id': self.images,
                    'category_id': instance.label + 1,
                    'bbox': box,
                    'segmentation': instance.rle,
                    'area': instance.area,
                    'iscrowd': 0,
                    'score': round(instance.score, 5),
                    **({} if instance.track is None else {'track_id': instance.track}),
                }
            )
            index = '' if frame.index is None else frame.index
            where = [image.get('video', image['file_name']), index, self.classes[instance.label]]
            rows.append([*where, f'{instance.score:.5f}', *box, instance.area, *self.measured(frame, instance)])
        self._add_lines('images', [image])
        self._add_lines('annotations', annotations)
        csv.writer(self._parts['csv']).writerows(rows)
        self.annotations += len(annotations)

    def close(self) -> list[Path]:
        """Puts the files in place and returns them."""
        for file in self._parts.values():
            file.close()
        out = self.folder / 'detections.json'
        categories = [{'id': i, 'name': name} for i, name in enumerate(self.classes, start=1)]
        temporary = _temporary(out)
        with temporary.open('w', encoding='utf-8') as file:
            file.write(f'{{"info":{json.dumps(self.info)},"categories":{json.dumps(categories)}')
            for part in ('images', 'annotations'):
                file.write(f',"{part}":[\n')
                with Path(self._parts[part].name).open(encoding='utf-8') as source:
                    shutil.copyfileobj(source, file)
                file.write('\n]')
            file.write('}\n')
        os.replace(temporary, out)
        os.replace(self._parts['csv'].name, self.folder / 'detections.csv')
        for part in ('images', 'annotations'):
            Path(self._parts[part].name).unlink()
        return [out, self.folder / 'detections.csv']

    def _add_lines(self, part: str, entries: list[dict]) -> None:
        file = self._parts[part]
        text = ',\n'.join(json.dumps(entry, separators=(',', ':')) for entry in entries)
        if text:
            file.write(f',\n{text}' if file.tell() else text)

    def measured(self, frame: Frame, instance: FoundInstance) -> tuple[str, str, str]:
        """Mean and maximum inside the mask, and the unit; blanks for an empty mask."""
        if not instance.area:
            return '', '', ''
        (x, y), (height, width) = instance.corner, instance.crop.shape
        values, unit = self.measure(frame.image[y : y + height, x : x + width], frame.path)
        inside = values[instance.crop].astype(np.float64)
        return f'{inside.mean():.3f}', f'{inside.max():.3f}'.rstrip('0').rstrip('.'), unit


class VideoFile:
    """An annotated video, MPEG-4 in ``.mp4``; under its final name when it is whole and can be read again.

    Args:
        path: Ends in ``.mp4``.
        fps: Frames a second.

    Raises:
        ValueError: While adding the first frame, if this build of OpenCV cannot write such videos.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self.fps = fps
        self.frames = 0
        self._temporary = _temporary(path).with_suffix('.mp4')
        self._writer: cv2.VideoWriter | None = None

    def add(self, picture: np.ndarray) -> None:
        """Adds a picture ``[H, W, 3]`` in RGB, the same size each time; odd sizes are padded to even ones."""
        height, width = picture.shape[:2]
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        if height % 2 or width % 2:
            picture = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code = cv2.VideoWriter_fourcc(*CODEC)
            with _one_thread():
                self._writer = cv2.VideoWriter(str(self._temporary), code, self.fps, picture.shape[1::-1])
            if not self._writer.isOpened():
                raise ValueError(
                    f'{self.path}: this build of OpenCV cannot write {CODEC} videos; --no-pictures writes detections'
                )
        self._writer.write(picture)
        self.frames += 1

    def close(self) -> Path | None:
        """Puts the video in place and returns its path, or ``None`` if it has no frames.

        Raises:
            OSError: If what was written cannot be read again, as on a full disk.
        """
        if self._writer is None:
            return None
        self._writer.release()
        try:
            capture = cv2.VideoCapture(str(self._temporary))
            readable = capture.read()[0]
            capture.release()
            if not readable:
                raise OSError(f'{self.path}: the video was written but cannot be read again; is the disk full?')
            os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)
        return self.path


@contextmanager
def _one_thread() -> Iterator[None]:
    """Encoders that are opened here get one thread: more would take the model's cores. The user's own options win."""
    if _ENCODER in os.environ:
        yield
        return
    os.environ[_ENCODER] = 'threads;1'
    try:
        yield
    finally:
        del os.environ[_ENCODER]


def _image_entry(frame: Frame, image_id: int) -> dict:
    """The frame's entry of COCO's ``images``; ``file_name`` (with ``page``) is unique in the file."""
    height, width = frame.image.shape[:2]
    source, suffix = frame.source, frame.path.suffix
    entry = {'id': image_id, 'width': width, 'height': height, 'path': str(frame.path)}
    if source.live is not None:
        name = f'{source.name}/{frame.index:06d}'
        return {**entry, 'path': source.given, 'file_name': name, 'video': source.name, 'frame': frame.index}
    if source.is_video_file:
        video = source.name + suffix
        return {**entry, 'file_name': f'{video}/{frame.index:06d}', 'video': video, 'frame': frame.index}
    if frame.page is not None:
        entry['page'] = frame.page
    if source.video:
        name = f'{source.name}/{frame.path.name}'
        return {**entry, 'file_name': name, 'video': source.name, 'frame': frame.index}
    return {**entry, 'file_name': source.name + suffix}


def _temporary(path: Path) -> Path:
    return path.with_name(f'.{path.name}.{os.getpid()}.tmp')
