"""The lines of YOLO's label files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..builder import Instance
from ..class_names import NO_CLASS

TOLERANCE = 0.01  # of the image, by which a coordinate may exceed it
TRACK = 6  # numbers after the class of a line that a tracker writes: a box, a confidence and the number of its track
FEWEST = 3  # lines from which on their numbers tell that they hold keypoints


@dataclass
class Lines:
    """The objects of one image.

    Attributes:
        path: The label file.
        rows: The words of each line; empty lines are no objects.
        names: Class by number.
        keypoints: Numbers after the class of a line that holds a box and keypoints; 0 if there are no such lines.
        tracks: Whether lines of ``TRACK`` numbers that end with a whole number are a tracker's.
    """

    path: Path
    rows: list[list[str]]
    names: dict[int, str]
    keypoints: int = 0
    tracks: bool = False

    @property
    def labels(self) -> list[str]:
        """Class of each object."""
        return [_class_of(row[0], self.names) for row in self.rows if row]

    def read(self, width: int, height: int) -> list[Instance]:
        """The objects in an image of this size."""
        return [
            self._read(row, f'{self.path}, line {number}', width, height)
            for number, row in enumerate(self.rows, start=1)
            if row
        ]

    def like_tracks(self) -> list[str]:
        """The lines that may be a tracker's, and may be triangles."""
        return [
            f'{self.path}, line {number}'
            for number, row in enumerate(self.rows, start=1)
            if row and _is_like_track(numbers(row[1:]))
        ]

    def _read(self, row: list[str], where: str, width: int, height: int) -> Instance:
        item = Instance(_class_of(row[0], self.names), where)
        values = numbers(row[1:])
        item.fault = _fault(row, values, item.name, self)
        if item.fault:
            return item
        if len(values) == 4:
            x, y, w, h = values
            item.box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        else:  # (in pixels; what exceeds the image by rounding is put on its edge)
            scaled = [min(max(v, 0.0), 1.0) * (height if i % 2 else width) for i, v in enumerate(values)]
            item.mask = [[round(v, 2) for v in scaled]]  # six decimals hold no more; a pixel must stay a whole one
        return item


def numbers(words: Sequence[str]) -> list[float] | None:
    """The numbers that words hold, or None if one of them is no number."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _class_number(word: str) -> int | None:
    """A class number, also with a point as NumPy writes it (``0.0``)."""
    value = numbers([word])
    return int(value[0]) if value is not None and math.isfinite(value[0]) and value[0].is_integer() else None


def _class_of(word: str, names: dict[int, str]) -> str:
    return names.get(_class_number(word), NO_CLASS)


def _fault(row: list[str], values: list[float] | None, name: str, lines: Lines) -> str:
    """Why a line cannot be used; empty if it can."""
    if any(',' in word or ';' in word for word in row):
        return 'line with commas; YOLO separates numbers by spaces'
    if _class_number(row[0]) is None:
        return 'class that is no whole number'
    if name == NO_CLASS:
        return 'class number that is not in data.yaml'
    if values is None:
        return 'line with something else than numbers'
    n = len(values)
    if n == lines.keypoints:
        return 'box and keypoints (a pose label), no outline'
    if lines.tracks and _is_like_track(values):
        return "box, confidence and number of a track (a tracker's), no outline"
    if n != 4 and (n < 6 or n % 2):
        more = '; is it an outline and a confidence?' if n > 6 else ''
        more = '; is it a box and a confidence, or an angle?' if n == 5 else more
        return f'line of {n} numbers after the class; expected 4 (a box), or 6, 8, ... (a polygon){more}'
    if not all(math.isfinite(v) and -TOLERANCE <= v <= 1 + TOLERANCE for v in values):
        return 'coordinates that are not between 0 and 1'
    return ''


def keypoint_length(shape: object, files: Sequence[Lines]) -> int:
    """Numbers after the class of lines with a box and keypoints, 0 if the labels are of another kind.

    Args:
        shape: ``kpt_shape`` of ``data.yaml``: number of keypoints, numbers for each. Without it, labels are of this
            kind if all lines have the same length, all points lie in the box that the first four numbers are, and
            width and height of most of them are, read as a point, outside that box: no outline is like this.
        files: All label files.
    """
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(v, int) and v > 0 for v in shape):
        return 4 + shape[0] * shape[1]
    rows = [numbers(row[1:]) for lines in files for row in lines.rows if row]
    if len(rows) < FEWEST or None in rows or len(set(map(len, rows))) > 1 or len(rows[0]) < 8:
        return 0
    n = len(rows[0])
    for step in (2, 3):
        if (n - 4) % step:
            continue
        points = [[p for p in zip(row[4::step], row[5::step], strict=True) if any(p)] for row in rows]
        inside = all(_in_box(p, row) for row, of_row in zip(rows, points, strict=True) for p in of_row)
        apart = sum(not _in_box((row[2], row[3]), row) for row in rows)
        if inside and any(points) and 2 * apart > len(rows):
            return n
    return 0


def has_tracks(files: Sequence[Lines]) -> bool:
    """Whether lines of ``TRACK`` numbers that end with a whole number are a tracker's rather than triangles.

    They are if one of these numbers is no coordinate. If all of them are 0 or 1, they are unless there are longer
    outlines, other lines of this length, or boxes that leave the image.
    """
    rows = [numbers(row[1:]) or [] for lines in files for row in lines.rows if row]
    alike = [row for row in rows if _is_like_track(row)]
    if any(row[5] > 1 and all(0 <= v <= 1 for v in row[:5]) for row in alike):
        return True
    others = any(len(row) > TRACK or (len(row) == TRACK and not _is_like_track(row)) for row in rows)
    return bool(alike) and not others and all(_is_box_inside(row) for row in alike)


def _is_like_track(values: list[float] | None) -> bool:
    return values is not None and len(values) == TRACK and values[5].is_integer()


def _is_box_inside(row: list[float]) -> bool:
    x, y, w, h = row[:4]
    reach = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    return min(w, h) > 0 and all(-TOLERANCE <= v <= 1 + TOLERANCE for v in reach)


def _in_box(point: tuple[float, float], row: list[float]) -> bool:
    x, y, w, h = row[:4]
    return abs(point[0] - x) <= w / 2 + TOLERANCE and abs(point[1] - y) <= h / 2 + TOLERANCE
