"""The annotations of a COCO file as arrays, whatever is in their fields."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .structure import Sound, index_of, is_id, known_size


@dataclass
class AnnotationTable:
    """Numbers of N annotations; NaN where a field holds no number.

    Attributes:
        annotations: The entries, in the file's order.
        ids: ``[N]``, their ids (objects: numbers or text).
        image: ``[N]``, position of the image in ``images``, -1 if there is none.
        category: ``[N]``, position of the category, -1 if there is none.
        boxes: ``[N, 4]``, x, y, width, height in pixels.
        well_formed: ``[N]``, whether ``bbox`` is a list of four numbers (NaN and infinity are numbers).
        area: ``[N]``, in pixels.
        crowd: ``[N]``, ``iscrowd``: 0 or 1, -1 if it is missing, -2 if it is anything else.
        size: ``[N, 2]``, width and height of the image in pixels, NaN if unknown, or above ``image_limits``.
    """

    annotations: list[dict]
    ids: np.ndarray
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    well_formed: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.annotations)

    @property
    def usable(self) -> np.ndarray:
        """``[N]``, whether the box is finite, with a positive width and height."""
        return np.isfinite(self.boxes).all(axis=1) & (self.boxes[:, 2:] > 0).all(axis=1)

    def ids_of(self, chosen: np.ndarray) -> list:
        """Ids of the annotations that a mask ``[N]`` or positions choose."""
        return self.ids[chosen].tolist()


def numbers(values: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Floats of a list of anything, NaN for what is no number, and which of them are numbers (``bool`` is none)."""
    if set(map(type, values)) <= {int, float}:
        try:
            return np.array(values, float), np.ones(len(values), bool)
        except OverflowError:  # a whole number beyond the range of floats
            pass
    is_number = np.array([type(v) in (int, float) for v in values], bool)
    floats = [_to_float(v) if good else np.nan for v, good in zip(values, is_number.tolist(), strict=True)]
    return np.array(floats, float), is_number


def _to_float(value: float) -> float:
    return float(value) if isinstance(value, float) or abs(value) < 10**308 else float('inf')


def as_table(sound: Sound) -> AnnotationTable:
    """Collect the fields of the annotations of ``check_structure``'s result."""
    annotations = sound.annotations
    ids = np.empty(len(annotations), object)
    ids[:] = [a['id'] for a in annotations]
    images, categories = index_of(sound.images), index_of(sound.categories)
    image = _positions([a['image_id'] for a in annotations], images)
    raw = [a['bbox'] for a in annotations]
    four = np.array([isinstance(box, list) and len(box) == 4 for box in raw], bool)
    flat, is_number = numbers([v for box, good in zip(raw, four.tolist(), strict=True) if good for v in box])
    boxes = np.full((len(raw), 4), np.nan)
    boxes[four] = flat.reshape(-1, 4)
    well_formed = four.copy()
    well_formed[four] = is_number.reshape(-1, 4).all(axis=1)
    boxes[~well_formed] = np.nan
    sizes = np.array([known_size(entry) for entry in sound.images] + [(np.nan, np.nan)], float)
    size = sizes[image]
    return AnnotationTable(
        annotations,
        ids,
        image,
        _positions([a['category_id'] for a in annotations], categories),
        boxes,
        well_formed,
        numbers([a.get('area', np.nan) for a in annotations])[0],
        np.array([_crowd(a) for a in annotations], np.int8),
        size,
    )


def _positions(ids: list, positions: dict) -> np.ndarray:
    return np.array([positions.get(i, -1) if is_id(i) else -1 for i in ids], np.int64)


def _crowd(annotation: dict) -> int:
    if 'iscrowd' not in annotation:
        return -1
    value = annotation['iscrowd']
    return int(value) if isinstance(value, int) and value in (0, 1) else -2
