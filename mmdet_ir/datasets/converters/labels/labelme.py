"""LabelMe: one JSON file an image, with shapes."""

import base64
import binascii
import io
import math
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from ....fileio import read_json
from ...derived_masks import box_corners
from ...validation.repairs.values import numbers_within
from ..boxes_to_coco import envelope
from ..builder import Instance
from ..class_names import NO_CLASS
from ..images import ImageFinder, find_source_files, name_in_set
from ..masks import is_numbers, polygons_fault, to_segmentation
from ..records import Options, Record, split_of, write_records
from ..report import ConversionReport
from .coco_source import stated_size

CIRCLE_POINTS = 64
OUTLINES = ('polygon', 'oriented_rectangle', 'rotation')  # the last is X-AnyLabeling's name for a turned rectangle
WITHOUT_AREA = ('point', 'points', 'line', 'linestrip')


def convert_labelme(src: str | Path, out: str | Path, options: Options | None = None) -> ConversionReport:
    r"""Convert LabelMe's files.

    Shapes of equal label and ``group_id`` are one object; an empty text, a number below 0, and 0 where most shapes
    have it and none has another group, are no group. ``polygon``, ``oriented_rectangle``, ``rotation``, ``circle`` and
    ``mask`` are outlines; ``rectangle`` is a box without a mask, or beside outlines of the same object a part of the
    mask. Other shapes (points, lines) are reported and left out. Objects that X-AnyLabeling marks ``difficult`` are
    ignored regions.

    Args:
        src: Folder with JSON files at any depth. Folders named train, val or test make the splits. ``imagePath`` is
            relative to its file and may hold ``..\`` as long as it stays in ``src``; where it leads nowhere, see
            ``ImageFinder``. ``imageData`` is not read.
        out: Folder to write.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If there is no JSON file.
        ValueError: If nothing is left to write.
    """
    src, report, records = Path(src), ConversionReport(), []
    files = find_source_files(src, report, ('.json',))
    if not files:
        raise FileNotFoundError(f'{src}: expected JSON files of LabelMe, found none')
    contents = []
    for path in files:
        try:
            content = read_json(path)
            if content.keys() >= {'source', 'tone_mapping', 'copies'}:  # of tools/data/label.py copies
                continue
            if not isinstance(content.get('shapes'), list):
                raise ValueError(f'{path}: expected a list "shapes" as LabelMe writes it')
            contents.append((path, content))
        except ValueError as error:
            report.skipped.append(str(error))
    groups = [shape.get('group_id') for _, c in contents for shape in c['shapes'] if isinstance(shape, dict)]
    named = [str(group) for group in groups if not _is_no_group(group)]
    # As some tools write it; a real group that is called 0 is one of few shapes.
    zero_is_none = set(named) == {'0'} and len(named) > len(groups) / 2
    if zero_is_none:
        report.notes.append('group_id 0 is taken for no group, because most shapes have it and none has another')
    finder = ImageFinder(src)
    uses = Counter((path.parent, str(content.get('imagePath'))) for path, content in contents)
    joined = 0
    for path, content in contents:
        name = content.get('imagePath')
        groups = _group(content['shapes'], zero_is_none)
        joined += sum(len(members) > 1 for _, members in groups)
        try:
            shared = uses[path.parent, str(name)] > 1
            image = finder.find(path.parent, name, f'{path}, imagePath', path.stem, shared)
        except ValueError as error:
            report.skipped.append(str(error))
            continue
        records.append(
            Record(
                image,
                name_in_set(src, image),
                split_of(path.relative_to(src).parent.parts),
                str(path),
                [name for name, _ in groups],
                partial(_read_objects, groups, path),
                stated_size(content, ('imageWidth', 'imageHeight')),
            )
        )
    finder.report(report, src)
    if joined:
        report.notes.append(f'{joined} objects are made of several shapes of equal label and group_id')
    return write_records(records, out, 'converted from LabelMe', options or Options(), report, sources=[src])


def _group(shapes: list, zero_is_none: bool) -> list[tuple[str, list[tuple[int, dict]]]]:
    """Objects: their label and their shapes with number."""
    groups = defaultdict(list)
    for index, shape in enumerate(shapes):
        shape = shape if isinstance(shape, dict) else {}
        label, group = shape.get('label'), shape.get('group_id')
        label = str(label) if isinstance(label, str | int | float) and str(label).strip() else NO_CLASS
        alone = _is_no_group(group) or (zero_is_none and str(group) == '0') or not _has_area(shape)
        groups[label, f'shape {index}' if alone else f'group {group}'].append((index, shape))
    return [(label, members) for (label, _), members in groups.items()]


def _is_no_group(group: object) -> bool:
    return group in (None, '') or (isinstance(group, int | float) and group < 0)


def _has_area(shape: dict) -> bool:
    """Whether a shape can be a part of an outline."""
    kind, points = shape.get('shape_type') or 'polygon', shape.get('points')
    return kind not in WITHOUT_AREA and not (kind == 'polygon' and isinstance(points, list) and len(points) < 3)


def _read_objects(groups: list, path: Path, width: int, height: int) -> list[Instance]:
    return [_read_object(name, members, path, width, height) for name, members in groups]


def _read_object(name: str, members: list[tuple[int, dict]], path: Path, width: int, height: int) -> Instance:
    numbers = ', '.join(str(index) for index, _ in members)
    item = Instance(name, f'{path}, shape {numbers} (from 0)')
    for _, shape in members:
        item.read_flag('difficult', shape.get('difficult'))
    if name == NO_CLASS:
        item.fault = 'shape without a label'
        return item
    polygons, masks, boxes = [], [], []
    try:
        for _, shape in members:
            kind, points = shape.get('shape_type') or 'polygon', numbers_within(shape.get('points'))
            if not isinstance(points, list) or not all(is_numbers(point, 2) for point in points):
                raise ValueError('points that are not pairs of finite numbers')
            if kind == 'rectangle':
                boxes.append(_envelope(points))
            elif kind == 'mask':
                masks.append(_place_mask(shape.get('mask'), points, width, height))
            else:
                polygons.append(_outline(kind, points))
        if boxes and (masks or polygons):
            polygons += [_corners_of(box) for box in boxes]
            boxes = []
    except ValueError as error:
        item.fault = str(error)
        return item
    if masks:
        if polygons:
            masks.append(_rasterise(polygons, width, height))
        item.mask = np.any(masks, axis=0)
    elif polygons:
        item.mask = polygons
    if boxes:
        low = np.min([box[:2] for box in boxes], axis=0)
        high = np.max([np.add(box[:2], box[2:]) for box in boxes], axis=0)
        item.box = [*low.tolist(), *(high - low).tolist()]
    return item


def _envelope(points: list) -> list[float]:
    """xywh of two (or, in some versions, four) corners in any order."""
    if len(points) not in (2, 4):
        raise ValueError('rectangle without two or four corners')
    return envelope(points)


def _corners_of(box: list[float]) -> list[float]:
    """The polygon of an xywh box, as a part of a mask."""
    x, y, w, h = box
    if min(w, h) <= 0:
        raise ValueError('box without width or height')
    return box_corners(x + w / 2, y + h / 2, w, h).ravel().tolist()


def _outline(kind: str, points: list) -> list[float]:
    if kind == 'circle':  # its centre and a point on it
        if len(points) != 2:
            raise ValueError('circle without two points')
        (x, y), radius = points[0], math.dist(*points)
        # A regular n-gon in the unit circle has area n/2 sin(2 pi/n); scale it to pi.
        radius *= math.sqrt(2 * math.pi / (CIRCLE_POINTS * math.sin(2 * math.pi / CIRCLE_POINTS)))
        angles = np.arange(CIRCLE_POINTS) * 2 * math.pi / CIRCLE_POINTS
        return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=-1).ravel().round(4).tolist()
    if kind not in OUTLINES:
        raise ValueError(f'shape_type {kind!r}, which has no area or is not known')
    polygon = [float(v) for point in points for v in point]
    fault = polygons_fault([polygon])
    if fault:
        raise ValueError(fault)
    return polygon


def _place_mask(text: object, points: list, width: int, height: int) -> np.ndarray:
    """``[height, width]`` bool from a PNG (base64) of the part between two corner pixels, both included."""
    if not isinstance(text, str) or len(points) != 2:
        raise ValueError('mask without an image or without two corners')
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            if image.width > width or image.height > height:  # (before it is decoded)
                raise ValueError('mask that leaves the image')
            part = np.asarray(image)
    except (binascii.Error, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError('mask that is not a readable image') from error
    (x0, y0), (x1, y1) = (tuple(int(v) for v in point) for point in points)
    if part.shape != (y1 - y0 + 1, x1 - x0 + 1):
        raise ValueError('mask of another size than its corners span')
    if min(x0, y0) < 0 or x1 >= width or y1 >= height:
        raise ValueError('mask that leaves the image')
    mask = np.zeros((height, width), bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = part > 0
    return mask


def _rasterise(polygons: list[list[float]], width: int, height: int) -> np.ndarray:
    to_segmentation(polygons, width, height, True)  # refuses what pycocotools cannot take
    return mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))).astype(bool)
