"""Boxes, ``area`` and ``iscrowd`` of annotations."""

import numpy as np

from ..problem import Problem, listed
from .masks import FARTHEST, Masks
from .parts import Parts, part_areas
from .table import AnnotationTable

OUTSIDE = 1.0  # pixels that a box may stick out of its image: labelling tools round
ENOUGH_FRACTIONS, ENOUGH_CORNERS = 3, 10  # boxes from which a pattern of the whole file is told without masks


def check_boxes(table: AnnotationTable) -> list[Problem]:
    """Boxes that are no boxes: errors that everything else relies on the absence of."""
    finite = np.isfinite(table.boxes).all(axis=1)
    empty = finite & ~(table.boxes[:, 2:] > 0).all(axis=1)
    far = finite & (np.abs(table.boxes) > FARTHEST).any(axis=1)
    remedy = 'correct the box, or delete the annotation; a box can be taken from its mask'
    return [
        *listed(
            'box-form',
            'error',
            'boxes that are not four numbers [x, y, width, height], width and height > 0; annotation ids',
            table.ids_of(~table.well_formed),
            'annotation',
            remedy,
            True,
        ),
        *listed(
            'box-not-finite',
            'error',
            'boxes with NaN or infinity; annotation ids',
            table.ids_of(table.well_formed & ~finite),
            'annotation',
            remedy,
            True,
        ),
        *listed(
            'box-empty',
            'error',
            'boxes that are not [x, y, width, height] with width and height > 0; annotation ids',
            table.ids_of(empty),
            'annotation',
            remedy,
            True,
        ),
        *listed(
            'box-far',
            'error',
            f'boxes with numbers beyond {FARTHEST}, which no image has; annotation ids',
            table.ids_of(far & ~empty),
            'annotation',
            remedy,
        ),
    ]


def check_box_convention(table: AnnotationTable, masks: Masks) -> list[Problem]:
    """Boxes written as corners (xyxy), or as fractions of the image.

    Corners are told in two ways. With masks: read as corners a box overlaps the mask's box with an IoU over 0.9, read
    as x, y, width, height under 0.7; once there is such a box, the better reading decides for the others. Without
    masks, from 10 boxes on: every second corner lies right of and below the first, all boxes fit into their images as
    corners, and at least a fifth of them leaves the image as x, y, width, height. Fractions: from 3 boxes on, no
    number is above 1.
    """
    remedy = 'write boxes as x, y, width, height: subtract the first corner from the second'
    corners = written_as_corners(table, masks)
    problems = listed(
        'box-corners',
        'error',
        'boxes that fit their masks as corners [x1, y1, x2, y2], not as [x, y, width, height]; annotation ids',
        table.ids_of(corners),
        'annotation',
        remedy,
        True,
    )
    rest = table.usable & (table.image >= 0) & np.isfinite(table.size).all(axis=1)
    boxes, size = table.boxes[rest], table.size[rest]
    if len(boxes) >= ENOUGH_FRACTIONS and (boxes <= 1).all() and (size > 4).all():
        text = f'none of the {len(boxes)} boxes has a number above 1: fractions of the image instead of pixels?'
        remedy = 'multiply x and width by the width of the image, y and height by its height'
        problems.append(Problem('box-fractions', 'error', text, remedy, tuple(table.ids_of(rest)), 'annotation'))
    rest &= ~masks.good
    boxes, size = table.boxes[rest], table.size[rest]
    if len(boxes) >= ENOUGH_CORNERS and not problems:
        as_corners = (boxes[:, 2:] > boxes[:, :2]).all() and (boxes[:, 2:] <= size + OUTSIDE).all()
        leaving = (boxes[:, :2] + boxes[:, 2:] > size + OUTSIDE).any(axis=1)
        if as_corners and leaving.mean() >= 0.2:
            text = (
                f'all {len(boxes)} boxes without mask fit into their images as corners [x1, y1, x2, y2], but '
                f'{leaving.sum()} do not as [x, y, width, height]'
            )
            problems.append(Problem('box-corners', 'error', text, remedy, tuple(table.ids_of(rest)), 'annotation'))
    return problems


def written_as_corners(table: AnnotationTable, masks: Masks) -> np.ndarray:
    """``[N]``, which boxes fit their masks as corners and not as x, y, width, height."""
    boxes = table.boxes
    as_size = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    corners, sides = _iou(boxes, masks.box), _iou(as_size, masks.box)
    with np.errstate(invalid='ignore'):
        proven = masks.good & (corners > 0.9) & (sides < 0.7)
        return masks.good & (corners > 0.9) & (corners > sides) if proven.any() else proven


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row, of ``[N, 4]`` corners; NaN where one of them is, or where both are empty."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = np.maximum(sides, 0).prod(axis=1)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - both
        return both / union


def check_left_out(table: AnnotationTable) -> list[Problem]:
    """What MMDetection's reader leaves out without a word."""
    boxes, size = table.boxes, table.size
    with np.errstate(invalid='ignore', over='ignore'):
        seen = np.minimum(boxes[:, :2] + boxes[:, 2:], size) - np.maximum(boxes[:, :2], 0)
        unusable = table.usable & ((seen <= 0) | (boxes[:, 2:] < 1)).any(axis=1)
    problems = []
    if unusable.any():
        ids = table.ids_of(unusable)
        text = (
            f'{len(ids)} boxes outside their image or under 1 pixel are left out; '
            f'annotation ids {ids[:5]}{" ..." if len(ids) > 5 else ""}'
        )
        remedy = 'correct or delete them'
        problems.append(Problem('box-left-out', 'warning', text, remedy, tuple(ids), 'annotation', True))
    ignored = [a['id'] for a in table.annotations if a.get('ignore', False)]
    return problems + listed(
        'ignore-key',
        'warning',
        'annotations with "ignore" are left out of training, but count as missed in evaluation; annotation ids',
        ignored,
        'annotation',
        'use "iscrowd": 1 for regions in which detections should count neither way, else delete the key',
    )


def check_bounds(table: AnnotationTable) -> list[Problem]:
    """Boxes that stick out of their image by more than a pixel."""
    boxes, size = table.boxes, table.size
    with np.errstate(invalid='ignore', over='ignore'):
        out = np.maximum(-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - size).max(axis=1) > OUTSIDE
    return listed(
        'box-out-of-bounds',
        'warning',
        'boxes stick out of their image by more than 1 pixel; annotation ids',
        table.ids_of(table.usable & out),
        'annotation',
        'clip them to the image',
        True,
    )


def check_fields(table: AnnotationTable) -> list[Problem]:
    """``area`` and ``iscrowd``, which evaluation needs."""
    has_area = np.array(['area' in a for a in table.annotations], bool)
    lacking = ~has_area | (table.crowd == -1)
    area = table.area
    problems = listed(
        'field-missing',
        'error',
        'annotations lack "area" or "iscrowd", which evaluation needs; ids',
        table.ids_of(lacking),
        'annotation',
        'area: pixels of the mask; iscrowd: 0, or 1 for ignored regions',
        True,
    )
    problems += listed(
        'area-form',
        'error',
        'annotations whose "area" is not a finite number; ids',
        table.ids_of(has_area & ~np.isfinite(area)),
        'annotation',
        'write the pixels of the mask',
        True,
    )
    problems += listed(
        'area-empty',
        'error',
        'annotations have an "area" of 0 or less; ids',
        table.ids_of(np.isfinite(area) & (area <= 0)),
        'annotation',
        'write the pixels of the mask; delete targets without any',
        True,
    )
    problems += listed(
        'iscrowd-value',
        'error',
        'annotations whose "iscrowd" is neither 0 nor 1 (any text counts as 1, and the target is ignored); ids',
        table.ids_of(table.crowd == -2),
        'annotation',
        'write 0, or 1 for ignored regions',
        True,
    )
    return problems


def wrong_area(table: AnnotationTable, masks: Masks, parts: dict[int, Parts]) -> np.ndarray:
    """``[N]``, which areas are not those of the mask, or above that of the box where there is no mask.

    The area of several polygons is that of their union, or of what is left of it where the area shows that polygons
    within others are holes. A polygon's area may differ from its number of pixels by about half its outline; 5 % and
    one pixel are added. The pixels of RLE are counted, and 1 % and half a pixel may differ.
    """
    box_area = table.boxes[:, 2] * table.boxes[:, 3]
    area = part_areas(masks, parts, table.area)
    slack = np.where(masks.is_rle, 0.5 + 0.01 * area, 1 + 0.05 * area + 0.5 * masks.outline)
    with np.errstate(invalid='ignore'):
        wrong = masks.good & (np.abs(table.area - area) > slack)
        wrong |= masks.is_none & table.usable & (table.area > 1 + 1.01 * box_area)
        return wrong & (table.area > 0)


def check_area(table: AnnotationTable, masks: Masks, parts: dict[int, Parts]) -> list[Problem]:
    """``area`` against the mask, else against the box."""
    return listed(
        'area-mismatch',
        'warning',
        'annotations whose "area" is not that of their mask (small, medium and '
        'large targets are told apart by it); ids',
        table.ids_of(wrong_area(table, masks, parts)),
        'annotation',
        'write the pixels of the mask',
        True,
    )


def copies(table: AnnotationTable) -> np.ndarray:
    """``[N]``, annotations that repeat an earlier one: the same image, category, box and mask."""
    again = np.zeros(len(table), bool)
    rows = np.column_stack([table.image, table.category, table.boxes])
    candidates = np.flatnonzero(table.usable & (table.image >= 0))
    _, inverse, n = np.unique(rows[candidates], axis=0, return_inverse=True, return_counts=True)
    seen = set()
    for i, group in zip(candidates.tolist(), inverse.ravel().tolist(), strict=True):
        if n[group] > 1:
            key = (group, repr(table.annotations[i].get('segmentation')), table.crowd[i])
            again[i] = key in seen
            seen.add(key)
    return again


def check_copies(table: AnnotationTable) -> list[Problem]:
    """The same target twice."""
    return listed(
        'duplicate-annotation',
        'warning',
        'annotations repeat another one of the same image, class, box and mask; ids',
        table.ids_of(copies(table)),
        'annotation',
        'delete the copies',
        True,
    )
