"""Values of COCO files that programs wrote as text, or with a point, and that mean whole numbers, lists or runs."""

import ast
import json
import math
import re
from collections.abc import Iterator


def as_number(value: object) -> object:
    """The number that a text holds, ``int`` where it is whole; other values as they are."""
    if not isinstance(value, str) or '_' in value:  # (Python takes 1_0 for 10)
        return value
    if re.fullmatch(r'\s*-?[0-9]{1,300}\s*', value):  # (through a float, long ids would become others)
        return int(value)
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number):
        return value
    return int(number) if number.is_integer() else number


def _as_whole_number(value: object) -> object:
    """A whole number, written as text or with a point, as ``int``; other values as :func:`as_number`."""
    number = as_number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def numbers_within(value: object) -> object:
    """Nested lists with the texts that are numbers turned into numbers; the same object if there are none."""
    if isinstance(value, list):
        new = [numbers_within(v) for v in value]
        return new if any(a is not b for a, b in zip(new, value, strict=True)) else value
    return as_number(value)


def as_list(value: object) -> object:
    """The list that a text such as ``'[1, 2]'`` holds, as spreadsheets write it; other values as they are."""
    if not isinstance(value, str) or not value.strip().startswith('['):
        return value
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return content if isinstance(content, list) else value


def as_rle(value: object) -> object:
    """An RLE whose runs have a point, or whose text is Python's way to show bytes; other values as they are."""
    counts = value.get('counts') if isinstance(value, dict) else None
    if isinstance(counts, list) and any(isinstance(run, float | str) for run in counts):
        counts = [_as_whole_number(run) for run in counts]
    elif isinstance(counts, str) and counts[:2] in ("b'", 'b"') and counts[-1:] == counts[1]:
        try:
            counts = ast.literal_eval(counts).decode('ascii')
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    else:
        return value
    size = value.get('size')
    return value | {'counts': counts, 'size': [*map(_as_whole_number, size)] if isinstance(size, list) else size}


def as_polygons(value: object) -> tuple[object, bool]:
    """Polygons that lack a pair of brackets, are lists of points, or have parts of fewer than 3 points.

    Returns:
        Lists of numbers in a list, or the same object if it is none of these; whether parts were left out.
    """
    if not isinstance(value, list) or not value:
        return value, False
    if all(part == [] for part in value):
        return [], True
    if all(_is_points(part) for part in value):
        return [[v for point in part for v in point] for part in value], False
    if all(type(v) in (int, float) for v in value) and len(value) >= 6 and len(value) % 2 == 0:
        return [value], False
    if _is_points(value):
        return [[v for point in value for v in point]], False
    if all(isinstance(part, list) and len(part) % 2 == 0 for part in value):
        whole = [part for part in value if len(part) >= 6]
        if whole and len(whole) < len(value):
            return whole, True
    return value, False


def _is_points(part: object) -> bool:
    return isinstance(part, list) and len(part) >= 3 and all(isinstance(p, list) and len(p) == 2 for p in part)


def repair_values(coco: dict) -> Iterator[tuple[str, list]]:
    """Write numbers, lists and runs as such; the dictionary is changed.

    Yields:
        What was done, and the ids of the entries.
    """
    yield 'entries: ids written as whole numbers', _whole_ids(coco)
    changed = []
    for image in _entries(coco, 'images'):
        before = {side: image.get(side) for side in ('width', 'height')}
        after = {side: _as_whole_number(value) for side, value in before.items()}
        new = {side: value for side, value in after.items() if type(value) is not type(before[side])}
        if new:
            image.update(new)
            changed.append(image.get('id'))
    yield 'images: sizes written as whole numbers; ids', changed
    changed = []
    for annotation in _entries(coco, 'annotations'):
        for key in ('bbox', 'area', 'segmentation'):
            if key in annotation:
                before = annotation[key]
                annotation[key] = as_rle(numbers_within(as_list(before)))
                if annotation[key] is not before and annotation.get('id') not in changed[-1:]:
                    changed.append(annotation.get('id'))
    yield 'annotations: text turned into numbers; ids', changed


def _whole_ids(coco: dict) -> list:
    """``1.0`` is ``1``, as pandas writes it."""
    changed = []
    for section, keys in (
        ('images', ['id']),
        ('categories', ['id']),
        ('annotations', ['id', 'image_id', 'category_id']),
    ):
        for entry in _entries(coco, section):
            for key in keys:
                if isinstance(entry.get(key), float) and entry[key].is_integer():
                    entry[key] = int(entry[key])
                    changed.append(entry[key])
    return changed


def _entries(coco: dict, section: str) -> list[dict]:
    return [entry for entry in coco[section] if isinstance(entry, dict)]
