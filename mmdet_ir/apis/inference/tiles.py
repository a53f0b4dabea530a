"""Large images in overlapping tiles: one tone mapping for the whole image, and masks that a seam has cut joined again.

Slicing libraries (sahi, supervision) cut pictures that were tone-mapped before, or map each slice by itself, which
changes what the model sees, and they drop one of two detections at a seam instead of joining their masks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as mask_utils

from ...visualization.overlay import FoundInstance

JOIN_SHARE = 0.5  # in which two masks have to agree, within the part that both tiles see
_EDGE = 2  # pixels: a mask that comes so near to the end of its tile is cut there
_MARGIN = 4  # pixels of surroundings with which a tile sees the whole of a mask


@dataclass(frozen=True)
class Tile:
    """A part of an image, in pixels: columns ``x1`` to ``x2``, rows ``y1`` to ``y2``, the ends left out."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.y2 - self.y1, self.x2 - self.x1

    def cut(self, image: np.ndarray) -> np.ndarray:
        return image[self.y1 : self.y2, self.x1 : self.x2]

    def overlap(self, other: 'Tile') -> 'Tile':
        """What both see; empty if its ends are not beyond its beginnings."""
        return Tile(max(self.x1, other.x1), max(self.y1, other.y1), min(self.x2, other.x2), min(self.y2, other.y2))


def parse_tile(text: str) -> tuple[int, int]:
    """Width and height from ``640x512``.

    Raises:
        ValueError: If it is no such text.

    Example:
        >>> parse_tile('640x512')
        (640, 512)
    """
    width, _, height = text.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f'--tile: expected WIDTHxHEIGHT in pixels, such as 640x512, got {text!r}')
    return int(width), int(height)


def plan_tiles(size: tuple[int, int], tile: tuple[int, int], overlap: float = 0.2) -> list[Tile]:
    """Tiles of one size that cover an image; neighbours share at least ``overlap`` of their side.

    Args:
        size: Height and width of the image.
        tile: Width and height of a tile; larger sides than the image's become the image's.
        overlap: Share of a tile's side, from 0 to below 1.

    Raises:
        ValueError: For another overlap.

    Example:
        >>> plan_tiles((100, 100), (200, 60), 0.5)
        [Tile(x1=0, y1=0, x2=100, y2=60), Tile(x1=0, y1=20, x2=100, y2=80), Tile(x1=0, y1=40, x2=100, y2=100)]
    """
    if not 0 <= overlap < 1:
        raise ValueError(f'--overlap: expected a share of the tile from 0 to below 1, got {overlap}')
    columns, rows = (
        _starts(length, min(wanted, length), overlap) for length, wanted in zip(size[::-1], tile, strict=True)
    )
    width, height = min(tile[0], size[1]), min(tile[1], size[0])
    return [Tile(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    step = max(1, int(tile * (1 - overlap)))
    number = 1 + -(-(length - tile) // step)
    return [round(i * (length - tile) / max(number - 1, 1)) for i in range(number)]


def place(instance: FoundInstance, tile: Tile, size: tuple[int, int]) -> FoundInstance:
    """A detection of a tile in the coordinates of the whole image.

    Args:
        instance: In pixels of the tile.
        tile: Where it was found.
        size: Height and width of the image.
    """
    x, y = tile.x1, tile.y1
    x1, y1, x2, y2 = instance.box
    corner = (instance.corner[0] + x, instance.corner[1] + y)
    return replace(
        instance,
        box=(x1 + x, y1 + y, x2 + x, y2 + y),
        corner=corner,
        rle=encode_crop(instance.crop, corner, size),
    )


def encode_crop(crop: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict:
    """COCO's compressed code of a mask, from the part of it that is not empty; the whole mask is never made.

    Args:
        crop: ``[h, w]`` bool.
        corner: Column and row of its first pixel in the image.
        size: Height and width of the image.

    Returns:
        ``size`` and ``counts`` as text.
    """
    height, width = size
    rows, columns = crop.shape
    # Runs go down the columns: each column of the crop begins at its place in the long row of all columns.
    padded = np.zeros((rows + 2, columns), dtype=np.int8)
    padded[1:-1] = crop
    change = np.diff(padded, axis=0)  # [rows + 1, columns]: 1 where a run begins, -1 where it has ended
    first = (np.arange(columns, dtype=np.int64) + corner[0]) * height + corner[1]
    begins = (first[None] + np.arange(rows + 1)[:, None])[change == 1]
    ends = (first[None] + np.arange(rows + 1)[:, None])[change == -1]
    begins.sort()
    ends.sort()
    if begins.size:  # runs that touch, from the last row of a column to the first of the next, are one
        apart = np.flatnonzero(begins[1:] != ends[:-1])
        begins, ends = begins[np.r_[0, apart + 1]], ends[np.r_[apart, -1]]
    borders = np.stack([begins, ends], axis=1).ravel()
    counts = np.diff(np.r_[0, borders, height * width])
    rle = mask_utils.frPyObjects({'size': [height, width], 'counts': counts.tolist()}, height, width)
    return {'size': [height, width], 'counts': rle['counts'].decode('ascii')}


def join(
    found: Sequence[tuple[FoundInstance, Tile]], size: tuple[int, int], tiles: Sequence[Tile]
) -> list[FoundInstance]:
    """Detections of all tiles, each target once.

    Two detections of one class from two tiles are one target where their masks agree in the part that both tiles see:
    an IoU of at least one half there, or, where a seam cuts one of them, at least one half of the smaller mask (models
    see the rest of a cut target worse). A detection that is whole in its tile stands for the target; where all are cut
    by seams, their masks are put together. The score is the highest. What one tile takes for a target at its end,
    where another tile sees the same place whole and finds none, is left out.

    Args:
        found: In pixels of the whole image, with the tile of each.
        size: Height and width of the image.
        tiles: All tiles of the image, also those in which nothing was found.

    Returns:
        Best first.
    """
    group = list(range(len(found)))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for i, j in _neighbours(found):
        if root(i) != root(j) and _agree(*found[i], *found[j], size):
            group[root(j)] = root(i)
    members: dict[int, list[int]] = {}
    for i in range(len(found)):
        members.setdefault(root(i), []).append(i)
    ends = np.array([(tile.x1, tile.y1, tile.x2, tile.y2) for tile in tiles])
    joined = [
        _merge([found[i] for i in same], size)
        for same in members.values()
        if len(same) > 1 or not _is_refuted(*found[same[0]], ends, size)
    ]
    return sorted(joined, key=lambda instance: -instance.score)


def _neighbours(found: Sequence[tuple[FoundInstance, Tile]]) -> Iterator[tuple[int, int]]:
    """Pairs of one class from different tiles whose masks' frames meet; sorted by column, so that few are compared."""
    frames = np.array([_frame(instance) for instance, _ in found]).reshape(-1, 4)
    order = np.argsort(frames[:, 0], kind='stable')
    for place_i, i in enumerate(order):
        for j in order[place_i + 1 :]:
            if frames[j, 0] >= frames[i, 2]:
                break
            same = found[i][0].label == found[j][0].label and found[i][1] != found[j][1]
            if same and frames[i, 1] < frames[j, 3] and frames[j, 1] < frames[i, 3]:
                yield int(i), int(j)


def _frame(instance: FoundInstance) -> tuple[int, int, int, int]:
    (x, y), (height, width) = instance.corner, instance.crop.shape
    return x, y, x + width, y + height


def _window(instance: FoundInstance, part: Tile) -> np.ndarray:
    """The mask within a part of the image."""
    x1, y1, x2, y2 = _frame(instance)
    window = np.zeros(part.shape, dtype=bool)
    left, top, right, bottom = max(x1, part.x1), max(y1, part.y1), min(x2, part.x2), min(y2, part.y2)
    if left < right and top < bottom:
        inside = instance.crop[top - y1 : bottom - y1, left - x1 : right - x1]
        window[top - part.y1 : bottom - part.y1, left - part.x1 : right - part.x1] = inside
    return window


def _agree(a: FoundInstance, tile_a: Tile, b: FoundInstance, tile_b: Tile, size: tuple[int, int]) -> bool:
    both = tile_a.overlap(tile_b)
    xs, ys = zip(*((frame[::2], frame[1::2]) for frame in (_frame(a), _frame(b))), strict=True)
    around = Tile(min(x[0] for x in xs), min(y[0] for y in ys), max(x[1] for x in xs), max(y[1] for y in ys))
    part = both.overlap(around)
    if part.x1 >= part.x2 or part.y1 >= part.y2:
        return False
    first, second = _window(a, part), _window(b, part)
    if _is_cut(a, tile_a, size) or _is_cut(b, tile_b, size):
        whole = min(np.count_nonzero(first), np.count_nonzero(second))
    else:
        whole = np.count_nonzero(first | second)
    return bool(whole) and np.count_nonzero(first & second) >= JOIN_SHARE * whole


def _is_cut(instance: FoundInstance, tile: Tile, size: tuple[int, int]) -> bool:
    """Whether the mask reaches an end of its tile that is no end of the image."""
    x1, y1, x2, y2 = _frame(instance)
    return (
        (tile.x1 > 0 and x1 < tile.x1 + _EDGE)
        or (tile.y1 > 0 and y1 < tile.y1 + _EDGE)
        or (tile.x2 < size[1] and x2 > tile.x2 - _EDGE)
        or (tile.y2 < size[0] and y2 > tile.y2 - _EDGE)
    )


def _is_refuted(instance: FoundInstance, tile: Tile, ends: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a detection that nothing confirms is cut by its tile, while another tile sees the place and more."""
    if not _is_cut(instance, tile, size):
        return False
    x1, y1, x2, y2 = _frame(instance)
    around = np.clip((x1 - _MARGIN, y1 - _MARGIN, x2 + _MARGIN, y2 + _MARGIN), 0, (*size[::-1], *size[::-1]))
    return bool(((ends[:, :2] <= around[:2]) & (ends[:, 2:] >= around[2:])).all(axis=1).any())


def _merge(same: Sequence[tuple[FoundInstance, Tile]], size: tuple[int, int]) -> FoundInstance:
    whole = [instance for instance, tile in same if not _is_cut(instance, tile, size)]
    score = max(instance.score for instance, _ in same)
    parts = [instance for instance, _ in same]
    if whole or len(parts) == 1:
        return replace(max(whole or parts, key=lambda instance: instance.score), score=score)
    frames = np.array([_frame(instance) for instance in parts])
    around = Tile(*(int(v) for v in (*frames[:, :2].min(axis=0), *frames[:, 2:].max(axis=0))))
    crop = np.any([_window(instance, around) for instance in parts], axis=0)
    boxes = np.array([instance.box for instance in parts])
    corner = (around.x1, around.y1)
    return FoundInstance(
        label=parts[0].label,
        score=score,
        box=(*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()),
        rle=encode_crop(crop, corner, size),
        area=int(np.count_nonzero(crop)),
        corner=corner,
        crop=crop,
    )
