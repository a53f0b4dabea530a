"""Images and annotations of COCO-like files that may be damaged in single entries."""

from collections import defaultdict
from pathlib import Path

from ....fileio import read_json
from ...coco_files import refuse
from ..report import ConversionReport


def read_coco_source(path: Path, report: ConversionReport) -> list[tuple[dict, list[tuple[str, dict]]]]:
    """Join images and annotations; class names come from the file's own ``categories``, never from the ids.

    Returns:
        Of each image its entry and its annotations, each with the name of its class.

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
    names = {entry['id']: str(entry['name']) for entry in coco['categories']}
    image_ids = {entry['id'] for entry in coco['images']}
    for section, ids in (('categories', names), ('images', image_ids)):
        if len(ids) != len(coco[section]):
            raise ValueError(f'{path}: ids in "{section}" occur more than once')
    annotations = defaultdict(list)
    for index, entry in enumerate(coco['annotations']):
        name, image_id = names.get(_id(entry, 'category_id')), _id(entry, 'image_id')
        if name is not None and image_id in image_ids:
            annotations[image_id].append((name, entry))
            continue
        shown = name or '(unknown class)'
        reason = 'image id that is not in "images"' if name else 'category id that is not in "categories"'
        report.read[shown] += 1
        report.drop(shown, reason, f'{path}, annotation number {index}, id {_id(entry, "id")}')
    return [(entry, annotations[entry['id']]) for entry in coco['images']]


def stated_size(entry: dict) -> tuple[int, int] | None:
    """Width and height that an image's entry states, if it does."""
    size = entry.get('width'), entry.get('height')
    return None if None in size else size


def _id(entry: object, key: str) -> int | str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, int | str) else None
