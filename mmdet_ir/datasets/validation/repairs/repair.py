"""Repair of a COCO dictionary where the repair is certain; everything else is left to a person."""

import copy
import math
from collections import Counter
from collections.abc import Sequence
from os import PathLike

import numpy as np
from pycocotools import mask as mask_utils

from ..checks.boxes import check_box_convention, copies, written_as_corners, wrong_area
from ..checks.masks import POLYGONS, Masks, as_masks, off_image
from ..checks.parts import hole_mask, measure_parts, shows_hole
from ..checks.structure import check_structure, frame_of, is_id
from ..checks.table import AnnotationTable, as_table
from .clipping import clip_polygons
from .images import repair_from_images
from .values import as_polygons, repair_values


class NestedTooDeeplyError(ValueError):
    """A file whose lists and objects are nested by the hundreds."""


def repair(
    coco: dict,
    classes: Sequence[str] | None = None,
    folder: str | PathLike | None = None,
    image_key: str = 'file_name',
    settings: dict | None = None,
) -> tuple[dict, list[str]]:
    """Repair what is certain.

    Numbers, lists and runs written as text; names of images that are spelled otherwise than their files, and sizes
    that are missing; names of classes in another case; ids (annotations anew from 1 where they clash, are 0 or text;
    references written as text or the other way round); a file that is listed twice, and entries that are; annotations
    without image; ``iscrowd``; polygons that lack a pair of brackets, and parts of less than 3 points beside sound
    ones; boxes as corners where masks prove it, boxes without extent or outside their image where masks tell it,
    boxes that stick out, with their polygons; targets without any pixel of the image; holes that the area shows;
    ``area``; copies of an annotation; the order of the categories. Order and all other fields stay.

    Args:
        coco: Content of a COCO file; not changed.
        classes: Class names in the order of the labels.
        folder: Where the image files are; None: they are not looked for.
        image_key: Field of the images that names the file.
        settings: Of ``read_infrared``, with which the image files are read.

    Returns:
        The repaired dictionary, and what was done, a line for each kind.

    Raises:
        NestedTooDeeplyError: If it is nested too deeply.
    """
    if check_structure(coco).fatal:
        return coco, []
    try:
        coco = copy.deepcopy(coco)
    except RecursionError as error:
        raise NestedTooDeeplyError('expected a COCO file, got one that is nested too deeply to be copied') from error
    done: list[str] = []
    for what, ids in repair_values(coco):
        _say(done, what, ids)
    if folder is not None:
        done += repair_from_images(coco, folder, image_key, settings)
    _merge_images(coco, done)
    _references(coco, done)
    _crowd(coco, done)
    _polygons(coco, done)
    _missing_boxes(coco, done)
    if _corners(coco, done):  # else to clip and drop boxes would hide what they are
        _boxes(coco, done)
        _holes(coco, done)
        _areas(coco, done)
    _drop_copies(coco, done)
    _number_annotations(coco, done)
    _category_names(coco, classes, done)
    _category_order(coco, classes, done)
    return coco, done


def _say(done: list[str], what: str, ids: Sequence) -> None:
    if len(ids):
        done.append(f'{len(ids)} {what}: {", ".join(map(str, ids[:5]))}{" ..." if len(ids) > 5 else ""}')


def _dicts(coco: dict, section: str) -> list[dict]:
    return [entry for entry in coco[section] if isinstance(entry, dict)]


def _merge_images(coco: dict, done: list[str]) -> None:
    """One entry for each file; clashing ids of images are resolved only where no annotation could be meant."""
    first: dict[tuple, dict] = {}
    merged, moved = [], {}
    kept = []
    for image in coco['images']:
        sound = isinstance(image, dict) and isinstance(image.get('file_name'), str) and is_id(image.get('id'))
        if not sound:
            kept.append(image)
            continue
        known = first.setdefault(frame_of(image), image)
        same_size = all(known.get(side) == image.get(side) for side in ('width', 'height'))
        if known is image or not same_size:
            kept.append(image)
        else:
            merged.append(image['file_name'])
            if known['id'] != image['id']:
                moved[image['id']] = known['id']
    still_used = {image['id'] for image in kept if isinstance(image, dict) and is_id(image.get('id'))}
    for annotation in _dicts(coco, 'annotations'):
        target = annotation.get('image_id')
        if is_id(target) and target in moved and target not in still_used:
            annotation['image_id'] = moved[target]
    coco['images'] = kept
    _say(done, 'entries of images that were listed twice merged; files', merged)


def _references(coco: dict, done: list[str]) -> None:
    """References written as text for a number or the other way round; then annotations of no image at all."""
    for key, section in (('image_id', 'images'), ('category_id', 'categories')):
        known = {entry['id'] for entry in _dicts(coco, section) if is_id(entry.get('id'))}
        by_text = {str(i): i for i in known}
        corrected = []
        for annotation in _dicts(coco, 'annotations'):
            value = annotation.get(key)
            written = isinstance(value, int | str) and not isinstance(value, bool)
            if written and value not in known and str(value) in by_text:
                annotation[key] = by_text[str(value)]
                corrected.append(annotation.get('id'))
        _say(done, f'annotations: {key} written as in "{section}"; ids', corrected)
    known = {entry['id'] for entry in _dicts(coco, 'images') if is_id(entry.get('id'))}
    lost = [
        a
        for a in _dicts(coco, 'annotations')
        if 'image_id' in a and is_id(a['image_id']) and a['image_id'] not in known
    ]
    _drop(coco, lost)
    _say(done, 'annotations of images that are not in the file dropped; ids', [a.get('id') for a in lost])


def _drop(coco: dict, annotations: Sequence[dict]) -> None:
    away = {id(annotation) for annotation in annotations}
    coco['annotations'] = [a for a in coco['annotations'] if id(a) not in away]


def _crowd(coco: dict, done: list[str]) -> None:
    changed = []
    certain = {'0': 0, '1': 1, 'false': 0, 'true': 1, 'False': 0, 'True': 1}
    for annotation in _dicts(coco, 'annotations'):
        value = annotation.get('iscrowd', 0)
        value = certain.get(value, value) if isinstance(value, str) else value
        value = int(value) if isinstance(value, bool | float) and value in (0, 1) else 0 if value is None else value
        if type(value) is not type(annotation.get('iscrowd')):
            annotation['iscrowd'] = value
            changed.append(annotation.get('id'))
    _say(done, 'annotations: iscrowd written as 0 or 1; ids', changed)


def _polygons(coco: dict, done: list[str]) -> None:
    nested, dropped = [], []
    for annotation in _dicts(coco, 'annotations'):
        polygons, left_out = as_polygons(annotation.get('segmentation'))
        if polygons is not annotation.get('segmentation'):
            annotation['segmentation'] = polygons
            (dropped if left_out else nested).append(annotation.get('id'))
    _say(done, 'annotations: polygons written as lists of numbers in a list; ids', nested)
    _say(done, 'annotations: parts of less than 3 points dropped; ids', dropped)


def _missing_boxes(coco: dict, done: list[str]) -> None:
    """A place for boxes that a mask tells; annotations with neither box nor mask are none."""
    nothing = []
    for annotation in _dicts(coco, 'annotations'):
        if annotation.get('bbox') in (None, []):
            if annotation.get('segmentation'):
                annotation['bbox'] = [0, 0, 0, 0]
            else:
                nothing.append(annotation)
    _drop(coco, nothing)
    _say(done, 'annotations with neither box nor mask dropped; ids', [a.get('id') for a in nothing])


def _table(coco: dict) -> AnnotationTable:
    return as_table(check_structure(coco))


def _corners(coco: dict, done: list[str]) -> bool:
    """Turn corners that masks prove; returns whether all boxes are x, y, width, height now, as far as one can tell."""
    table = _table(coco)
    masks = as_masks(table)
    corners = written_as_corners(table, masks)
    table.boxes[corners, 2:] -= table.boxes[corners, :2]
    _write_boxes(table, corners)
    _say(
        done,
        'boxes turned from corners to x, y, width, height, as their masks have it; annotation ids',
        table.ids_of(corners),
    )
    return not check_box_convention(table, masks)


def _write_boxes(table: AnnotationTable, chosen: np.ndarray) -> None:
    for i in np.flatnonzero(chosen).tolist():
        box = table.boxes[i].tolist()
        table.annotations[i]['bbox'] = [int(v) if v.is_integer() else round(v, 6) for v in box]


def _boxes(coco: dict, done: list[str]) -> None:
    table = _table(coco)
    masks = as_masks(table)
    boxes = table.boxes
    whole = np.isfinite(table.size).all(axis=1) & (table.image >= 0)
    with np.errstate(invalid='ignore'):
        beyond = ((boxes[:, :2] >= table.size) | (boxes[:, :2] + boxes[:, 2:] <= 0)).any(axis=1)
    without = ~table.usable & masks.good
    outside = table.usable & whole & beyond & masks.good & ~off_image(table, masks)
    from_mask = without | outside
    boxes[from_mask] = np.hstack([masks.box[:, :2], masks.box[:, 2:] - masks.box[:, :2]])[from_mask]
    _say(done, 'boxes without extent taken from their masks; annotation ids', table.ids_of(without))
    _say(done, 'boxes outside their image taken from their masks; annotation ids', table.ids_of(outside))

    low = np.maximum(boxes[:, :2], 0)
    with np.errstate(invalid='ignore'):
        high = np.minimum(boxes[:, :2] + boxes[:, 2:], table.size)
        usable = table.usable
        gone = table.well_formed & ((usable & whole & (high <= low).any(axis=1)) | (~usable & masks.is_none))
        clipped = usable & whole & ~gone & ((low > boxes[:, :2]) | (high < boxes[:, :2] + boxes[:, 2:])).any(axis=1)
    boxes[clipped] = np.hstack([low, high - low])[clipped]
    _say(done, 'boxes clipped to their image; annotation ids', table.ids_of(clipped))
    _write_boxes(table, from_mask | clipped)
    _clip_masks(table, masks, clipped, done)
    _drop(coco, [table.annotations[i] for i in np.flatnonzero(gone)])
    _say(done, 'annotations without any pixel of the image dropped; ids', table.ids_of(gone))


def _clip_masks(table: AnnotationTable, masks: Masks, chosen: np.ndarray, done: list[str]) -> None:
    """Cut the polygons of boxes that were clipped, so that they do not stick out of these."""
    with np.errstate(invalid='ignore'):
        out = (masks.box[:, :2] < 0).any(axis=1) | (masks.box[:, 2:] > table.size).any(axis=1)
    changed = []
    for i in np.flatnonzero(chosen & out & masks.good & (masks.kind == POLYGONS)).tolist():
        inside = clip_polygons(table.annotations[i]['segmentation'], *table.size[i].tolist())
        if inside:  # (else the mask shows no pixel of the image, which a person has to look at)
            table.annotations[i]['segmentation'] = inside
            changed.append(table.annotations[i].get('id'))
    _say(done, 'annotations: polygons clipped to their image, as the boxes; ids', changed)


def _holes(coco: dict, done: list[str]) -> None:
    """RLE for rings that are written as polygons, where the area is that of the ring."""
    table = _table(coco)
    masks = as_masks(table)
    changed = []
    for i, parts in measure_parts(masks, table.size, np.isfinite(table.size).all(axis=1)).items():
        annotation = table.annotations[i]
        if shows_hole(table.area[i], parts):
            width, height = (int(v) for v in table.size[i].tolist())
            mask = hole_mask(annotation['segmentation'], table.area[i].item(), width, height)
            rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
            annotation['segmentation'] = {'size': [height, width], 'counts': rle['counts'].decode()}
            changed.append(annotation['id'])
    _say(done, 'annotations: polygons that are holes by their "area" cut out, as RLE; ids', changed)


def _areas(coco: dict, done: list[str]) -> None:
    table = _table(coco)
    masks = as_masks(table)
    wrong = ~(table.area > 0) | wrong_area(table, masks, measure_parts(masks, table.size))
    changed = []
    for i in np.flatnonzero(wrong & (masks.good | (masks.is_none & table.usable))).tolist():
        annotation = table.annotations[i]
        area = float(table.boxes[i, 2] * table.boxes[i, 3])
        if masks.good[i]:
            width, height = (int(v) if math.isfinite(v) else 0 for v in table.size[i].tolist())
            area = _pixels(annotation['segmentation'], height, width)
        if area > 0:
            annotation['area'] = area
            changed.append(annotation['id'])
    _say(done, 'annotations: area counted anew; ids', changed)


def _pixels(segmentation: list | dict, height: int, width: int) -> int:
    if isinstance(segmentation, list):
        return int(mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))))
    if isinstance(segmentation['counts'], list):
        return sum(segmentation['counts'][1::2])
    return int(mask_utils.area(segmentation))


def _drop_copies(coco: dict, done: list[str]) -> None:
    table = _table(coco)
    again = copies(table)
    _drop(coco, [table.annotations[i] for i in np.flatnonzero(again)])
    _say(done, 'copies of annotations dropped; ids', table.ids_of(again))


def _number_annotations(coco: dict, done: list[str]) -> None:
    annotations = _dicts(coco, 'annotations')
    ids = [a.get('id') for a in annotations]
    clash = not all(map(is_id, ids)) or max(Counter(ids).values(), default=1) > 1
    if clash or any(isinstance(i, str) or i == 0 for i in ids):
        for number, annotation in enumerate(annotations, start=1):
            annotation['id'] = number
        done.append(f'{len(ids)} annotations numbered anew, from 1')


def _category_names(coco: dict, classes: Sequence[str] | None, done: list[str]) -> None:
    """Roots of Roboflow's kind that have another class's name; names that differ from a class in case or spaces."""
    categories = _dicts(coco, 'categories')
    names = [c.get('name') for c in categories]
    if not all(isinstance(name, str) for name in names):
        return
    used = {a.get('category_id') for a in _dicts(coco, 'annotations') if is_id(a.get('category_id'))}
    parents = {c['supercategory'] for c in categories if isinstance(c.get('supercategory'), str)}
    roots = [c for c in categories if c['name'] in parents and names.count(c['name']) > 1 and is_id(c.get('id'))]
    roots = [c for c in roots if c['id'] not in used and c.get('supercategory') != c['name']]
    coco['categories'] = [c for c in coco['categories'] if not any(c is root for root in roots)]
    _say(done, 'categories that are only the parents of others dropped', [c['name'] for c in roots])
    renamed = []
    plain = Counter(name.strip().casefold() for name in names)
    for category in _dicts(coco, 'categories'):
        same = [name for name in classes or () if name.casefold() == category['name'].strip().casefold()]
        if len(same) == 1 and category['name'] != same[0] and plain[same[0].casefold()] == 1:
            renamed.append(f'{category["name"]!r} is {same[0]!r}')
            category['name'] = same[0]
    _say(done, 'categories named as the classes', renamed)


def _category_order(coco: dict, classes: Sequence[str] | None, done: list[str]) -> None:
    categories = coco['categories']
    names = [c.get('name') if isinstance(c, dict) else None for c in categories]
    if not all(isinstance(name, str) for name in names):
        return
    if classes is None or len(set(names)) < len(names) or not set(classes) <= set(names):
        return
    rank = {name: i for i, name in enumerate(classes)}
    ordered = sorted(categories, key=lambda c: rank.get(c['name'], len(rank)))
    if [c['name'] for c in ordered if c['name'] in rank] != [name for name in names if name in rank]:
        coco['categories'] = ordered
        done.append(f'categories put in the order of the labels: {list(classes)}')
