"""Images and annotations of COCO-like files that may be damaged in single entries."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from ....fileio import read_json
from ...coco_files import refuse
from ...validation.repairs.values import as_number
from ..class_names import NO_CLASS
from ..report import ConversionReport


class CocoSource(NamedTuple):
    """A COCO-like file.

    Attributes:
        images: Of each image its entry and its annotations, each with the name of its class.
        classes: Names of its categories, in its order.
        licences: Entries of ``licenses`` that say more than an id.
    """

    images: list[tuple[dict, list[tuple[str, dict]]]]
    classes: list[str]
    licences: list[dict]


def read_coco_source(path: Path, report: ConversionReport) -> CocoSource:
    """Join images and annotations; class names come from the file's own ``categories``, never from the ids.

    A category without annotations that is the supercategory of others is no class of the source.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a section is missing, an entry of ``images`` or ``categories`` lacks a key, or ids occur twice.
    """
    coco = read_json(path)
    for section, keys in (('images', ('id', 'file_name')), ('annotations', ()), ('categories', ('id', 'name'))):
        entries = coco.get(section)
        if not isinstance(entries, list):
            raise ValueError(f'{path}: expected a list "{section}", got {type(entries).__name__}')
        refuse(
            path,
            f'entries of "{section}" without {" and ".join(keys)}; their numbers',
            [i for i, e in enumerate(entries) if keys and (_id(e, 'id') is None or keys[1] not in e)],
        )
    kinds = {_id(entry, 'id'): type(entry['name']) for entry in coco['categories']}
    nameless = [i for i, kind in kinds.items() if kind not in (str, int, float)]
    refuse(path, 'entries of "categories" whose name is no text; their ids', nameless)
    names = {_id(entry, 'id'): str(entry['name']) for entry in coco['categories']}
    image_ids = {_id(entry, 'id') for entry in coco['images']}
    for section, ids in (('categories', names), ('images', image_ids)):
        if len(ids) != len(coco[section]):
            raise ValueError(f'{path}: ids in "{section}" occur more than once')
    annotations = defaultdict(list)
    for index, entry in enumerate(coco['annotations']):
        name, image_id = names.get(_id(entry, 'category_id')), _id(entry, 'image_id')
        if name is not None and image_id in image_ids:
            annotations[image_id].append((name, entry))
            continue
        shown = name or NO_CLASS
        reason = 'image id that is not in "images"' if name else 'category id that is not in "categories"'
        report.read[shown] += 1
        report.drop(shown, reason, f'{path}, annotation number {index}, id {_id(entry, "id")}')
    used = {_id(entry, 'category_id') for entry in coco['annotations']}
    pairs = [(str(entry.get('name')), entry.get('supercategory')) for entry in coco['categories']]
    parents = {parent for name, parent in pairs if isinstance(parent, str) and name != parent}
    classes = [name for i, name in names.items() if i in used or name not in parents]
    licences = coco.get('licenses') if isinstance(coco.get('licenses'), list) else []
    licences = [e for e in licences if isinstance(e, dict) and any(value for key, value in e.items() if key != 'id')]
    return CocoSource([(entry, annotations[_id(entry, 'id')]) for entry in coco['images']], classes, licences)


def stated_size(entry: dict, keys: tuple[str, str] = ('width', 'height')) -> tuple[int, int] | None:
    """Width and height that an image's entry states, if it does: 0 and -1 are what tools begin with."""
    size = tuple(as_number(entry.get(side)) for side in keys)
    return size if all(size) and -1 not in size else None  # where the tool did not know


def _id(entry: object, key: str) -> int | str | None:
    """An id; whole numbers are the same with a point (``1.0``) or between quotes (``"1"``)."""
    value = as_number(entry.get(key)) if isinstance(entry, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
