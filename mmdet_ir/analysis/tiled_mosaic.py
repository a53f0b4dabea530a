"""What tiles cost: targets of a mosaic, found tile by tile, against those of its images, each found as a whole.

A model finds other targets when other pixels surround them, or when they lie otherwise on the grid of its strides.
The same is therefore counted for windows of the size of an image that lie about half an image further: they differ
from the images in both, as tiles do, but no target is seen twice and nothing is joined there.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from time import perf_counter

import cv2
import numpy as np
from pycocotools import mask as mask_utils
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from ..apis.inference.inferencer import IRInferencer
from ..apis.inference.tiles import Tile, place, plan_tiles
from ..markdown import markdown_table
from ..visualization.overlay import FoundInstance, draw_instances, find_instances

MARGIN = 16  # pixels: so near to the border of two cells, a target has other neighbours in the mosaic
GAP = 5  # pixels between windows: each lies otherwise on the grid of the strides, which half an image is a multiple of
AGREE = 0.5  # mask IoU from which on two detections of one class are one target
_HEADER = ('Targets', 'Found whole', 'Once', 'Twice or more', 'Missed', 'Extra', 'Pieces', 'Mean IoU', 'Median IoU')
Choice = Callable[[FoundInstance], bool]


@dataclass(frozen=True)
class Matches:
    """Detections beside reference detections, see :func:`match`.

    Attributes:
        ious: ``[R]`` mask IoU of each reference with its detection; 0 where it is missed.
        again: ``[R]`` further detections of each reference.
        extra: ``[F]`` bool, detections that are those of no reference.
        pieces: ``[F]`` bool, extra detections of which at least half lies in a reference of their class.
    """

    ious: np.ndarray
    again: np.ndarray
    extra: np.ndarray
    pieces: np.ndarray


@dataclass(frozen=True)
class TileMeasure:
    """What :func:`measure_tiles` has counted.

    Attributes:
        rows: Name and counts of each choice of targets; see ``table``.
        near: References that were left out, as they are near the border of two cells.
        tiles: All tiles.
        equal: Tiles that are a cell of the mosaic: nothing differs in them.
        seconds: Of the images as wholes, and of the mosaic tile by tile, joining included.
        mosaic: The picture that the model saw, uint8 ``[H, W]`` or ``[H, W, 3]`` (BGR).
        found: Detections of the mosaic.
    """

    rows: list[tuple[str, dict[str, float]]]
    near: int
    tiles: list[Tile]
    equal: int
    seconds: tuple[float, float]
    mosaic: np.ndarray
    found: list[FoundInstance]

    def table(self) -> str:
        """Counts as Markdown, the IoU over the references that were found."""
        lines = []
        for name, row in self.rows:
            *counts, mean, median = row.values()
            lines.append([name, *counts, *('-' if np.isnan(value) else f'{value:.3f}' for value in (mean, median))])
        return markdown_table(_HEADER, lines)


def make_mosaic(images: Sequence[np.ndarray], columns: int) -> tuple[np.ndarray, list[Tile]]:
    """Images side by side, row by row.

    Args:
        images: Of one shape ``[H, W]`` or ``[H, W, 3]`` and one type.
        columns: Images of a row.

    Returns:
        The mosaic, and the cell of each image.

    Raises:
        ValueError: If the images differ, or fill no whole rows.

    Example:
        >>> import numpy as np
        >>> mosaic, cells = make_mosaic([np.full((1, 2), i) for i in range(4)], 2)
        >>> mosaic.tolist(), cells[2]
        ([[0, 0, 1, 1], [2, 2, 3, 3]], Tile(x1=0, y1=1, x2=2, y2=2))
    """
    if columns < 1 or not images or len(images) % columns:
        raise ValueError(f'expected images that fill rows of {columns}, got {len(images)}')
    kinds = {(image.shape, str(image.dtype)) for image in images}
    if len(kinds) > 1:
        raise ValueError(f'expected images of one size and type, got {sorted(kinds)}')
    height, width = images[0].shape[:2]
    rows = [np.concatenate(images[i : i + columns], axis=1) for i in range(0, len(images), columns)]
    corners = [(number % columns * width, number // columns * height) for number in range(len(images))]
    return np.concatenate(rows), [Tile(x, y, x + width, y + height) for x, y in corners]


def match(references: Sequence[FoundInstance], found: Sequence[FoundInstance]) -> Matches:
    """Gives each reference one detection of its class at most, so that the sum of the mask IoUs is largest.

    Args:
        references: In pixels of one image.
        found: In pixels of the same image.

    Returns:
        The pairs that agree with an IoU of ``AGREE`` or more, and what is left.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.apis import IRInferencer
        >>> from mmdet_ir.visualization import find_instances
        >>> inferencer = IRInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
        >>> data = inferencer.prepare(inferencer.read('images/0.png'), 'images/0.png')
        >>> found = find_instances(inferencer.predict([data])[0], np.zeros(4))
        >>> match(found[:1], found[:1]).ious
        array([1.])
    """
    ious, within = _overlaps(found, references, crowd=False), _overlaps(found, references, crowd=True)
    rows, columns = linear_sum_assignment(np.where(ious >= AGREE, ious, 0), maximize=True)
    paired = ious[rows, columns] >= AGREE
    rows, columns = rows[paired], columns[paired]
    best, free = np.zeros(len(references)), np.ones(len(found), dtype=bool)
    best[columns], free[rows] = ious[rows, columns], False
    again = free & (ious >= AGREE).any(axis=1)
    of_which = ious[again].argmax(axis=1) if again.any() else np.zeros(0, dtype=int)
    extra = free & ~again
    return Matches(
        ious=best,
        again=np.bincount(of_which, minlength=len(references)),
        extra=extra,
        pieces=extra & (within >= 0.5).any(axis=1),
    )


def _overlaps(found: Sequence[FoundInstance], references: Sequence[FoundInstance], crowd: bool) -> np.ndarray:
    """``[F, R]`` IoU of masks of one class, or the share of each detection in each reference; 0 for other classes."""
    if not found or not references:
        return np.zeros((len(found), len(references)))
    sides = [[one.rle for one in side] for side in (found, references)]
    labels = [np.array([one.label for one in side]) for side in (found, references)]
    ious = mask_utils.iou(*sides, [crowd] * len(references))
    return np.where(labels[0][:, None] == labels[1][None], ious, 0)


def count(references: Sequence[FoundInstance], found: Sequence[FoundInstance], chosen: Choice) -> dict[str, float]:
    """Counts some of the references; all of them take part in the matching.

    Args:
        references: In pixels of one image.
        found: In pixels of the same image.
        chosen: Which of the references, and of the extra detections, are counted.

    Returns:
        ``references``, ``once``, ``again`` (found twice or more), ``missed``, ``extra``, ``pieces`` (of the extra
        detections), and ``mean`` and ``median`` of the mask IoU of what was found.
    """
    matches = match(references, found)
    kept = np.array([chosen(one) for one in references], dtype=bool)
    others = np.array([chosen(one) for one in found], dtype=bool)
    ious, again = matches.ious[kept], matches.again[kept]
    agreed = ious[ious > 0]
    return {
        'references': len(ious),
        'once': int(np.count_nonzero((ious > 0) & (again == 0))),
        'again': int(np.count_nonzero((ious > 0) & (again > 0))),
        'missed': int(np.count_nonzero(ious == 0)),
        'extra': int(np.count_nonzero(matches.extra & others)),
        'pieces': int(np.count_nonzero(matches.pieces & others)),
        'mean': float(agreed.mean()) if agreed.size else np.nan,
        'median': float(np.median(agreed)) if agreed.size else np.nan,
    }


def reaches(instance: FoundInstance, parts: Sequence[Tile], size: tuple[int, int], margin: float = 0) -> bool:
    """Whether a mask comes to an end of some part that is no end of the image.

    Args:
        instance: In pixels of the image.
        parts: A grid of tiles or cells.
        size: Height and width of the image.
        margin: How near, in pixels.
    """
    x1, y1, x2, y2 = _frame(instance)
    columns = {x for part in parts for x in (part.x1, part.x2)} - {0, size[1]}
    rows = {y for part in parts for y in (part.y1, part.y2)} - {0, size[0]}
    return any(x1 - margin <= x <= x2 + margin for x in columns) or any(y1 - margin <= y <= y2 + margin for y in rows)


def inside(instance: FoundInstance, parts: Sequence[Tile], margin: float = 0) -> bool:
    """Whether a mask lies in one of the parts, ``margin`` pixels or more from its ends."""
    x1, y1, x2, y2 = _frame(instance)
    return any(
        part.x1 + margin <= x1 and part.y1 + margin <= y1 and x2 + margin <= part.x2 and y2 + margin <= part.y2
        for part in parts
    )


def _frame(instance: FoundInstance) -> tuple[int, int, int, int]:
    (x, y), (height, width) = instance.corner, instance.crop.shape
    return x, y, x + width, y + height


def seen_by(instance: FoundInstance, parts: Sequence[Tile]) -> int:
    """The number of parts that see something of a mask's box."""
    x1, y1, x2, y2 = _frame(instance)
    return sum(part.x1 < x2 and x1 < part.x2 and part.y1 < y2 and y1 < part.y2 for part in parts)


def moved_windows(cells: Sequence[Tile]) -> list[Tile]:
    """Windows of the size of a cell, about half a cell further right and down, with ``GAP`` pixels between them.

    Example:
        >>> moved_windows([Tile(0, 0, 80, 60), Tile(80, 0, 160, 60), Tile(160, 0, 240, 60)])
        [Tile(x1=45, y1=0, x2=125, y2=60), Tile(x1=130, y1=0, x2=210, y2=60)]
    """
    height, width = cells[0].shape
    columns, rows = _moved(max(cell.x2 for cell in cells), width), _moved(max(cell.y2 for cell in cells), height)
    return [Tile(x, y, x + width, y + height) for y, x in product(rows, columns)]


def _moved(length: int, side: int) -> Sequence[int]:
    return range(side // 2 + GAP, length - side + 1, side + GAP) or [0]


def measure_tiles(
    inferencer: IRInferencer,
    paths: Sequence[str | os.PathLike],
    columns: int,
    tile: tuple[int, int] | None = None,
    overlap: float = 0.2,
    score: float = 0.3,
) -> TileMeasure:
    """Counts which targets of images are found when the images are one mosaic, and the model sees it tile by tile.

    Tone mapping sees each image by itself when it is a whole, and all of them when they are a mosaic; if the config
    has a tone mapping that depends on the image, its effect is in the counts.

    Args:
        inferencer: The model.
        paths: Images of one size, which fill whole rows.
        columns: Images of a row.
        tile: Width and height of a tile; ``None`` for those of an image.
        overlap: Share of a tile that its neighbour sees, too.
        score: Lowest score, of references and detections.

    Raises:
        FileNotFoundError: If an image is not there.
        ValueError: If the images differ or fill no rows, or all tiles are cells, so that nothing would be measured.

    Example:
        >>> from mmdet_ir.apis import IRInferencer
        >>> inferencer = IRInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
        >>> images = ['images/0.png', 'images/1.png', 'images/2.png', 'images/0.png']
        >>> measured = measure_tiles(inferencer, images, columns=2)
        >>> [row['references'] == row['once'] + row['again'] + row['missed'] for _, row in measured.rows]
        [True, True, True, True, True, True]
    """
    images = [inferencer.read(path) for path in paths]
    mosaic, cells = make_mosaic(images, columns)
    size, shape = mosaic.shape[:2], images[0].shape[:2]
    tiles = plan_tiles(size, tile or shape[::-1], overlap)
    equal = len(set(tiles) & set(cells))
    if equal == len(tiles):
        raise ValueError('expected tiles that are not the images of the mosaic; choose another --tile or --overlap')
    thresholds = np.full(len(inferencer.classes), score)
    windows = moved_windows(cells)
    with tqdm(total=len(cells) + len(tiles) + len(windows), unit='part', disable=None) as progress:
        began = perf_counter()
        references = _find(inferencer, mosaic, cells, thresholds, progress)
        between = perf_counter()
        found, seen = inferencer.predict_tiled(
            mosaic, 'mosaic', tile or shape[::-1], overlap, thresholds, on_tile=progress.update
        )
        seconds = between - began, perf_counter() - between
        moved = _find(inferencer, mosaic, windows, thresholds, progress)

    def kept(one: FoundInstance) -> bool:
        return not reaches(one, cells, size, MARGIN)

    choices: dict[str, tuple[list[FoundInstance], Choice]] = {
        'tiles: all': (found, kept),
        'tiles: seen by one tile': (found, lambda one: kept(one) and seen_by(one, tiles) == 1),
        'tiles: seen by several': (found, lambda one: kept(one) and seen_by(one, tiles) > 1),
        'tiles: at the end of a tile': (found, lambda one: kept(one) and reaches(one, tiles, size)),
        'tiles: whole in no tile': (found, lambda one: kept(one) and not inside(one, tiles)),
        'no tiles: moved': (moved, lambda one: kept(one) and inside(one, windows, MARGIN)),
    }
    rows = [(name, count(references, side, chosen)) for name, (side, chosen) in choices.items()]
    near = sum(not kept(one) for one in references)
    return TileMeasure(rows, near, tiles, equal, seconds, seen, found)


def _find(
    inferencer: IRInferencer, image: np.ndarray, parts: Sequence[Tile], thresholds: np.ndarray, progress: tqdm
) -> list[FoundInstance]:
    """Detections of parts of an image, each part found as an image by itself, in pixels of the whole."""
    found = []
    for part in parts:
        data = inferencer.prepare(np.ascontiguousarray(part.cut(image)), str(part))
        instances = find_instances(inferencer.predict([data])[0], thresholds)
        found += [place(instance, part, image.shape[:2]) for instance in instances]
        progress.update()
    return found


def draw_mosaic(
    measured: TileMeasure, classes: Sequence[str], colors: Sequence[tuple[int, int, int]], scale: int = 1
) -> np.ndarray:
    """The mosaic with what was found in it, and the ends of the tiles as grey lines.

    Args:
        measured: What ``measure_tiles`` returned.
        classes: Names, by label.
        colors: RGB in 0..255, by label.
        scale: Enlarges the mosaic by this whole number.

    Returns:
        ``[scale * H, scale * W, 3]`` uint8, RGB.
    """
    levels = measured.mosaic
    picture = cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB if levels.ndim == 2 else cv2.COLOR_BGR2RGB)
    picture = draw_instances(picture, measured.found, classes, colors, scale)
    for part in measured.tiles:
        ends = [(scale * x, scale * y) for x, y in ((part.x1, part.y1), (part.x2 - 1, part.y2 - 1))]
        cv2.rectangle(picture, *ends, (128, 128, 128), 1)
    return picture
