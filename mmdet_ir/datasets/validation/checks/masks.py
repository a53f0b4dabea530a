"""Masks: polygons and run-length encodings."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import shapely

from ..problem import Problem, listed
from . import rle
from .table import AnnotationTable, numbers

NONE, POLYGONS, RLE, OTHER = range(4)
OUTSIDE = 1.0  # pixels that a polygon may leave its image
FARTHEST = 1 << 20  # a coordinate beyond is no pixel of any image
LONGEST = 5_000_000  # pixels along a mask's sides; pycocotools takes 60 bytes for each
BOX_SLACK = (2.0, 0.05)  # a mask may leave its box by 2 pixels or by 5 % of the box's side


@dataclass
class Masks:
    """Masks of N annotations.

    Attributes:
        kind: ``[N]``, ``NONE``, ``POLYGONS``, ``RLE`` or ``OTHER``.
        good: ``[N]``, whether the mask is well formed and has an area.
        area: ``[N]``, in pixels; the sum over a mask's polygons, see ``parts`` for those that overlap. NaN without
            a well-formed mask.
        outline: ``[N]``, length of the polygons' sides in pixels, 0 for RLE.
        box: ``[N, 4]``, corners x1, y1, x2, y2 of the mask in pixels.
        rings: Coordinates of all well-formed polygons, ``[P, 2]``.
        ring_of: ``[P]``, the polygon of each point.
        owner: ``[R]``, the annotation of each polygon.
        faults: Annotations (positions) by code of what is wrong with the form of their masks.
    """

    kind: np.ndarray
    good: np.ndarray
    area: np.ndarray
    outline: np.ndarray
    box: np.ndarray
    rings: np.ndarray
    ring_of: np.ndarray
    owner: np.ndarray
    faults: dict[str, list[int]]

    @property
    def is_none(self) -> np.ndarray:
        return self.kind == NONE

    @property
    def is_rle(self) -> np.ndarray:
        return self.kind == RLE


def as_masks(table: AnnotationTable) -> Masks:
    """Parse the masks of all annotations."""
    return parse_masks([a.get('segmentation') for a in table.annotations], table.size)


def parse_masks(segmentations: list, size: np.ndarray) -> Masks:
    """Parse N masks.

    Args:
        segmentations: As COCO files have them, or anything else.
        size: ``[N, 2]``, width and height of their images, NaN if unknown.
    """
    n = len(segmentations)
    kind = np.array([_kind(s) for s in segmentations], np.int8)
    masks = Masks(
        kind,
        np.zeros(n, bool),
        np.full(n, np.nan),
        np.zeros(n),
        np.full((n, 4), np.nan),
        np.zeros((0, 2)),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        {'mask-form': np.flatnonzero(kind == OTHER).tolist()},
    )
    _parse_polygons(masks, segmentations)
    _parse_rles(masks, segmentations, size)
    return masks


def _kind(segmentation: object) -> int:
    if segmentation is None or (isinstance(segmentation, list | dict | str) and not segmentation):
        return NONE
    return POLYGONS if isinstance(segmentation, list) else RLE if isinstance(segmentation, dict) else OTHER


def _parse_polygons(masks: Masks, segmentations: list) -> None:
    rings, owner, short, not_finite = [], [], [], []
    for i in np.flatnonzero(masks.kind == POLYGONS).tolist():
        parts = segmentations[i]
        if not all(isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 for part in parts):
            short.append(i)
        elif not set(map(type, chain.from_iterable(parts))) <= {int, float}:
            masks.faults.setdefault('polygon-numbers', []).append(i)
        else:
            rings += parts
            owner += [i] * len(parts)
    masks.faults['polygon-points'] = short
    lengths = np.array([len(ring) // 2 for ring in rings], np.int64)
    points = numbers(list(chain.from_iterable(rings)))[0].reshape(-1, 2)
    owner = np.array(owner, np.int64)
    ring_of = np.repeat(np.arange(len(rings)), lengths)
    finite = np.ones(len(masks.kind), bool)
    finite[owner[ring_of[~np.isfinite(points).all(axis=1)]]] = False
    not_finite = np.flatnonzero(~finite).tolist()
    masks.faults.setdefault('polygon-numbers', []).extend(not_finite)
    # pycocotools walks along every side, so that its memory grows with the coordinates.
    far_off = np.unique(owner[ring_of[(np.abs(points) > FARTHEST).any(axis=1)]])
    masks.faults['polygon-far'] = far_off[finite[far_off]].tolist()
    finite[far_off] = False
    kept = finite[owner] if len(owner) else np.zeros(0, bool)
    points = points[kept[ring_of]]
    owner, lengths = owner[kept], lengths[kept]
    masks.rings, masks.owner = points, owner
    masks.ring_of = np.repeat(np.arange(len(owner)), lengths)
    if not len(owner):
        masks.faults['mask-empty'] = []
        return
    first = np.cumsum(lengths) - lengths
    following = np.arange(len(points)) + 1
    following[first + lengths - 1] = first
    nxt = points[following]
    base = points[first][masks.ring_of]  # near the origin, so that large coordinates cost no digits
    (x0, y0), (x1, y1) = (points - base).T, (nxt - base).T
    cross = x0 * y1 - x1 * y0
    areas = np.abs(np.add.reduceat(cross, first)) / 2
    outlines = np.add.reduceat(np.hypot(*(nxt - points).T), first)
    n = len(masks.kind)
    present = np.unique(owner)
    masks.area[present] = np.bincount(owner, areas, n)[present]
    masks.outline[:] = np.bincount(owner, outlines, n)
    masks.faults['polygon-long'] = np.flatnonzero(masks.outline > LONGEST).tolist()
    begin = first[np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))]
    masks.box[present, :2] = np.minimum.reduceat(points, begin)
    masks.box[present, 2:] = np.maximum.reduceat(points, begin)
    # Without area: all points on a line. (The signed areas of a polygon that crosses itself may add up to 0 as well.)
    weight = np.diff(np.append(first, len(points)))[:, None]
    centred = points - (np.add.reduceat(points, first) / weight)[masks.ring_of]
    xx, yy = np.add.reduceat(centred**2, first).T
    xy = np.add.reduceat(centred.prod(axis=1), first)
    masks.good[owner[xx * yy - xy**2 > 1e-9 * (xx + yy) ** 2]] = True
    masks.good[masks.faults['polygon-long']] = False
    masks.faults['mask-empty'] = np.setdiff1d(present[~masks.good[present]], masks.faults['polygon-long']).tolist()


def _parse_rles(masks: Masks, segmentations: list, of_image: np.ndarray) -> None:
    incomplete, of, counts, sizes = [], [], [], []
    for i in np.flatnonzero(masks.is_rle).tolist():
        size = segmentations[i].get('size')
        if not (segmentations[i].get('counts') and size):
            incomplete.append(i)
        elif not (isinstance(size, list) and len(size) == 2 and all(type(v) is int and 0 < v < 1 << 31 for v in size)):
            masks.faults.setdefault('rle-malformed', []).append(i)
        else:
            of.append(i)
            counts.append(segmentations[i]['counts'])
            sizes.append(size)
    masks.faults['rle-incomplete'] = incomplete
    of, sizes = np.array(of, np.int64), np.array(sizes, np.int64).reshape(-1, 2)
    runs, owner, sound = rle.run_lengths(counts)
    pixels, area, box = rle.measure_runs(runs, owner, sizes[:, 0])
    sound &= pixels == sizes.prod(axis=1)
    masks.faults.setdefault('rle-malformed', []).extend(of[~sound].tolist())
    known = np.isfinite(of_image[of]).all(axis=1)
    fits = ~known | (sizes == np.nan_to_num(of_image[of])[:, ::-1]).all(axis=1)
    masks.faults['rle-size'] = of[sound & ~fits].tolist()
    masks.faults['mask-empty'] += of[sound & (area == 0)].tolist()
    usable = sound & fits & (area > 0)
    masks.good[of[usable]] = True
    masks.area[of[usable]], masks.box[of[usable]] = area[usable], box[usable]


_FORM = {
    'mask-form': (
        'annotations have a "segmentation" that is neither a list of polygons nor an RLE; ids',
        'write polygons or RLE',
    ),
    'polygon-points': (
        'annotations have a polygon that is not a list of 3 or more x, y pairs; ids',
        'write each polygon as [x1, y1, x2, y2, x3, y3, ...], and all of them in a list',
    ),
    'polygon-numbers': (
        'annotations have a polygon with text, NaN or infinity among its coordinates; ids',
        'write finite numbers',
    ),
    'polygon-far': (
        f'annotations have a polygon with numbers beyond {FARTHEST}, which no image has; ids',
        'correct the coordinates: are they of another scale, or of another image?',
    ),
    'polygon-long': (
        f'annotations have a polygon of more than {LONGEST} pixels along its sides; ids',
        'draw the outline anew, or write the mask as RLE',
    ),
    'rle-incomplete': ('annotations have an RLE mask without "counts" or "size"; ids', 'export the masks anew'),
    'rle-malformed': (
        'annotations have an RLE mask whose "counts" are damaged or do not add up to its "size"; ids',
        'export the masks anew; where the tool allows it, as polygons or compressed RLE',
    ),
    'rle-size': (
        'annotations have an RLE mask of another size than their image (expected [height, width]); ids',
        'export masks and images at the same size',
    ),
    'mask-empty': ('annotations have a mask without area; ids', 'draw the mask, or delete the annotation'),
}


def check_masks(table: AnnotationTable, masks: Masks, needed: bool | None, rle_allowed: bool = True) -> list[Problem]:
    """Masks that are missing, of the wrong kind, or no masks.

    Args:
        table: The annotations.
        masks: Their masks.
        needed: Whether the pipeline loads masks; None if there is no pipeline.
        rle_allowed: Whether the pipeline can read RLE (``LoadAnnotations`` with ``poly2mask=True``).
    """
    problems = []
    if needed is None:
        problems += listed(
            'mask-missing',
            'warning',
            'annotations have no "segmentation", which instance segmentation needs; ids',
            table.ids_of(masks.is_none),
            'annotation',
            'label masks, or derive them from the boxes with tools/data/derive_masks.py',
        )
    elif needed:
        problems += listed(
            'mask-missing',
            'error',
            'annotations have no "segmentation", but the pipeline loads masks; ids',
            table.ids_of(masks.is_none),
            'annotation',
            'label masks, or derive them from the boxes with tools/data/derive_masks.py (of ignored regions '
            'as well), or set with_mask=False for a detector',
        )
        if not rle_allowed:
            problems += listed(
                'rle-not-allowed',
                'error',
                'annotations have RLE masks, but the pipeline needs polygons '
                '(LoadAnnotations with poly2mask=False); convert the masks to polygons or set poly2mask=True where '
                'the model allows it; ids',
                table.ids_of(masks.is_rle & (table.crowd != 1)),
                'annotation',
                'convert the masks to polygons or set poly2mask=True where the model allows it',
            )
    for code, (what, remedy) in _FORM.items():
        faults = sorted(masks.faults.get(code, []))
        problems += listed(
            code,
            'error',
            what,
            table.ids_of(np.array(faults, np.int64)),
            'annotation',
            remedy,
            code == 'polygon-points',
        )
    return problems + listed(
        'mask-off-image',
        'error',
        'annotations have a mask that lies outside the image; ids',
        table.ids_of(off_image(table, masks)),
        'annotation',
        'correct the coordinates, or delete the annotation',
    )


def check_form(table: AnnotationTable, masks: Masks) -> list[Problem]:
    """Masks that must not reach pycocotools, which writes beyond its memory or asks for all there is."""
    forms = set(_FORM) - {'mask-empty'}
    return [problem for problem in check_masks(table, masks, None) if problem.code in forms]


def unusable(masks: Masks) -> np.ndarray:
    """Positions of masks that are missing or must not reach pycocotools, see ``check_form``."""
    faults = [positions for code, positions in masks.faults.items() if code != 'mask-empty']
    return np.unique(np.concatenate([np.flatnonzero(masks.is_none), *map(np.array, faults)]).astype(np.int64))


def show_nothing(masks: Masks, segmentations: list) -> np.ndarray:
    """``[N]``, which annotations have no mask, one without an area, or polygons all of less than 3 points.

    Args:
        masks: Of :func:`parse_masks`.
        segmentations: What was parsed.
    """
    nothing = masks.is_none
    nothing[masks.faults['mask-empty']] = True
    for i in masks.faults['polygon-points']:
        nothing[i] = all(isinstance(part, list) and len(part) < 6 for part in segmentations[i])
    return nothing


def off_image(table: AnnotationTable, masks: Masks) -> np.ndarray:
    """``[N]``, which masks show no pixel of their image."""
    with np.errstate(invalid='ignore'):
        return masks.good & ((masks.box[:, 2:] <= 0) | (masks.box[:, :2] >= table.size)).any(axis=1)


def check_shapes(table: AnnotationTable, masks: Masks) -> list[Problem]:
    """Well-formed masks of implausible shape or place."""
    problems = []
    if len(masks.owner):
        polygons = shapely.polygons(shapely.linearrings(masks.rings, indices=masks.ring_of))
        invalid = np.flatnonzero(~shapely.is_valid(polygons))
        # Touching oneself in a point ("Ring Self-intersection") is what outlines along pixels' edges do.
        crossing = [
            str(reason).startswith('Self-intersection')
            for reason in np.atleast_1d(shapely.is_valid_reason(polygons[invalid]))
        ]
        owners = np.unique(masks.owner[invalid[np.array(crossing, bool)]])
        owners = owners[masks.good[owners]]
        problems += listed(
            'polygon-crossing',
            'warning',
            'annotations have a polygon that crosses itself (parts of the mask may become holes); ids',
            table.ids_of(owners),
            'annotation',
            'order the points along the outline; one polygon for each part',
        )
    box, size, off = masks.box, table.size, off_image(table, masks)
    inside = np.hstack([table.boxes[:, :2], table.boxes[:, :2] + table.boxes[:, 2:]])
    slack = np.maximum(BOX_SLACK[0], BOX_SLACK[1] * np.abs(table.boxes[:, 2:]))
    with np.errstate(invalid='ignore'):
        out = (np.maximum(-box[:, :2], box[:, 2:] - size) > OUTSIDE).any(axis=1) & ~off
        apart = ((box[:, 2:] <= inside[:, :2]) | (box[:, :2] >= inside[:, 2:])).any(axis=1)
        beyond = (np.maximum(inside[:, :2] - box[:, :2], box[:, 2:] - inside[:, 2:]) > slack).any(axis=1) & ~apart
    checked = masks.good & table.usable
    problems += listed(
        'mask-out-of-bounds',
        'warning',
        'annotations have a mask that leaves the image by more than 1 pixel; ids',
        table.ids_of(masks.good & out),
        'annotation',
        'clip it to the image, or check that annotations and images have the same scale',
    )
    problems += listed(
        'mask-apart-from-box',
        'warning',
        'annotations whose mask lies outside their box; ids',
        table.ids_of(checked & apart & ~off),
        'annotation',
        'find out which of the two is right',
    )
    return problems + listed(
        'mask-beyond-box',
        'warning',
        'annotations whose mask sticks out of their box by more than 2 pixels and 5 % of its side; ids',
        table.ids_of(checked & beyond & ~off),
        'annotation',
        'find out which of the two is right, and if it is the mask, take the box from it',
    )
