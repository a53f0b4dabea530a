"""Sections, keys, ids and references of a COCO dictionary."""

import math
import os
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ...images.image_limits import pixel_limit
from ..problem import Problem, listed

ALL_CLASSES = 'all'  # the row of a table that stands for all classes together
REQUIRED = {
    'images': ('id', 'file_name', 'width', 'height'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox'),
    'categories': ('id', 'name'),
}
_LONGEST_NAME, _LONGEST_PATH = 255, 4000  # bytes
_SINGULAR = {'images': 'image', 'annotations': 'annotation', 'categories': 'category'}


@dataclass
class Sound:
    """The entries that have all keys and usable ids, and the problems of the others.

    Attributes:
        images: Entries of the file. So are ``annotations`` and ``categories``.
        problems: What was found.
        fatal: Whether a whole section is missing or empty, so that nothing else can be checked.
    """

    images: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)
    categories: list[dict] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    fatal: bool = False


def is_id(value: object) -> bool:
    """Whether a value can serve as id: a whole number or text."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def id_order(i: int | str) -> tuple[bool, int | str]:
    """Key that sorts ids, numbers before text; a file may have both."""
    return isinstance(i, str), i


def stays_inside(name: object) -> bool:
    """Whether ``name`` is a relative path that a file system can hold and that stays in its folder, as it is written.

    Links in the folder are not looked at: who placed them there wanted them.
    """
    parts = PurePosixPath(name.replace('\\', '/')).parts if isinstance(name, str) else ()
    if not parts or '..' in parts or parts[0].startswith('/') or ':' in parts[0] or '\0' in name:
        return False
    try:
        return len(os.fsencode(name)) <= _LONGEST_PATH and max(len(os.fsencode(p)) for p in parts) <= _LONGEST_NAME
    except UnicodeEncodeError:  # half of a character
        return False


def frame_of(image: dict, key: str = 'file_name') -> tuple[str, str]:
    """What tells an image from others: its file, and its page in a stack as text (empty for other files).

    ``./a.png`` and ``day//a.png`` are the files ``a.png`` and ``day/a.png``.
    """
    return str(PurePosixPath(image[key])), str(image.get('page', ''))


def check_structure(coco: dict, image_key: str = 'file_name') -> Sound:
    """Check what everything else relies on: sections, keys, ids, file names, sizes and references.

    Args:
        coco: Content of a COCO file.
        image_key: Field of the images that names the file to load.
    """
    sound = Sound()
    for section in REQUIRED:
        if not isinstance(coco.get(section), list):
            got = type(coco.get(section)).__name__
            _fatal(
                sound,
                'section-missing',
                f'expected a list "{section}", got {got}',
                'export the file as COCO instances (images, annotations and categories)',
            )
            return sound
    for section in ('images', 'categories'):
        if not coco[section]:
            _fatal(sound, 'section-empty', f'"{section}" is empty', f'export the file anew, with its {section}')
            return sound
    for section in REQUIRED:
        entries = _with_keys(coco[section], section, sound.problems)
        setattr(sound, section, _with_ids(entries, section, sound.problems))
    _check_images(sound, image_key)
    sound.problems += listed(
        'category-name',
        'error',
        'categories whose name is no text; ids',
        [category['id'] for category in sound.categories if not isinstance(category['name'], str)],
        'category',
        'write the name of the class',
    )
    names = Counter(str(category['name']) for category in sound.categories)
    sound.problems += listed(
        'duplicate-category-name',
        'error',
        'category names that occur more than once',
        [name for name, n in names.items() if n > 1],
        'category',
        'merge these categories: keep one id for each name',
    )
    sound.problems += listed(
        'reserved-category-name',
        'error',
        f'categories named {ALL_CLASSES!r}, which the tables call the row of all classes',
        [name for name in names if name == ALL_CLASSES],
        'category',
        'give them another name',
    )
    _check_references(sound)
    return sound


def _fatal(sound: Sound, code: str, text: str, remedy: str) -> None:
    sound.problems.append(Problem(code, 'error', text, remedy))
    sound.fatal = True


def _with_keys(entries: list, section: str, problems: list[Problem]) -> list[dict]:
    """The entries that have all required keys; one problem for each combination of missing keys."""
    required = REQUIRED[section]
    lacking: dict[tuple, list[str]] = {}
    good = []
    for index, entry in enumerate(entries):
        missing = tuple(key for key in required if key not in entry) if isinstance(entry, dict) else required
        if missing:
            known = isinstance(entry, dict) and 'id' in entry
            lacking.setdefault(missing, []).append(f'id {entry["id"]}' if known else f'number {index}')
        else:
            good.append(entry)
    for missing, names in lacking.items():
        more = f' (and {len(names) - 1} more)' if len(names) > 1 else ''
        text = f'entry {names[0]} of "{section}" lacks {", ".join(missing)}{more}'
        remedy = 'add what is missing, or delete the entry'
        problems.append(Problem('keys-missing', 'error', text, remedy, tuple(names), _SINGULAR[section]))
    return good


def _with_ids(entries: list[dict], section: str, problems: list[Problem]) -> list[dict]:
    """The entries whose own ids can be used; of several with one id, all are kept."""
    kind = _SINGULAR[section]
    bad = [entry['id'] for entry in entries if not is_id(entry['id'])]
    problems += listed(
        'id-type',
        'error',
        f'ids in "{section}" that are neither whole numbers nor text',
        bad,
        kind,
        'number them with whole numbers',
        True,
    )
    good = [entry for entry in entries if is_id(entry['id'])] if bad else entries
    ids = Counter(entry['id'] for entry in good)
    remedy = {
        'annotations': 'number the annotations anew',
        'images': 'number one of them anew, and say which annotations belong to which',
        'categories': 'delete one of them, or number it anew together with its annotations',
    }[section]
    problems += listed(
        'duplicate-id',
        'error',
        f'ids that occur more than once in "{section}"',
        [i for i, n in ids.items() if n > 1],
        kind,
        remedy,
        True,
    )
    if section == 'annotations':
        problems += listed(
            'annotation-id-unusable',
            'warning',
            'annotation ids that are 0 or text, which COCO\'s evaluation takes for "no match" or cannot compare',
            [i for i in ids if isinstance(i, str) or i == 0],
            kind,
            'number the annotations from 1',
            True,
        )
    return good


def _check_images(sound: Sound, key: str) -> None:
    images, problems = sound.images, sound.problems
    lacking = [image['id'] for image in images if key not in image]
    problems += listed(
        'image-key',
        'error',
        f'images have no {key!r} (image_key of the data set); ids',
        lacking,
        'image',
        'add the field, or leave image_key out',
    )
    outside = [image for image in images if key in image and not stays_inside(image[key])]
    if outside:
        more = f' (and {len(outside) - 1} more)' if len(outside) > 1 else ''
        first = outside[0]
        problems.append(
            Problem(
                'file-name',
                'error',
                f'image id {first["id"]}: expected a file name inside the image folder, got {first[key]!r}{more}',
                'give file names relative to the image folder',
                tuple(image['id'] for image in outside),
                'image',
                True,
            )
        )
    for side in ('width', 'height'):
        bad = [image['id'] for image in images if not is_size(image[side])]
        problems += listed(
            'image-size',
            'error',
            f'images whose {side} is not a positive whole number; image ids',
            bad,
            'image',
            'write the size of the image file, in pixels',
            True,
        )
    limit = pixel_limit()
    large = [
        image['id']
        for image in images
        if is_size(image['width']) and is_size(image['height']) and image['width'] * image['height'] > limit
    ]
    problems += listed(
        'image-size',
        'error',
        f'images of more than {limit} pixels, which are not decoded; image ids',
        large,
        'image',
        'write the size of the image file, in pixels',
    )
    files = Counter(frame_of(image, key) for image in images if isinstance(image.get(key), str))
    problems += listed(
        'duplicate-file-name',
        'error',
        'files that are listed for more than one image (the targets of one entry are background in the other)',
        [name for (name, _), n in files.items() if n > 1],
        'file',
        'keep one entry for each file and give it all annotations',
        True,
    )


def is_size(value: object) -> bool:
    """Whether a value can be a width or height in pixels."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 1 << 31


def known_size(image: dict) -> tuple[float, float]:
    """Width and height that an image's entry tells; NaN where they are no sizes, or larger than is decoded."""
    width, height = image['width'], image['height']
    sound = is_size(width) and is_size(height) and width * height <= pixel_limit()
    return (width, height) if sound else (math.nan, math.nan)


def _check_references(sound: Sound) -> None:
    for key, section, remedy, fixable in (
        ('image_id', 'images', 'add the images, or delete the annotations', True),
        ('category_id', 'categories', 'add the category, or correct the ids', True),
    ):
        known = {entry['id'] for entry in getattr(sound, section)}
        article = 'an image' if key == 'image_id' else 'a category'
        sound.problems += listed(
            f'unknown-{_SINGULAR[section]}',
            'error',
            f'annotations of {article} id that is not in "{section}"; annotation ids',
            [a['id'] for a in sound.annotations if not _refers(a[key], known)],
            'annotation',
            remedy,
            fixable,
        )


def _refers(value: object, known: set[Hashable]) -> bool:
    return is_id(value) and value in known


def index_of(entries: Sequence[dict]) -> dict:
    """Position of each id; the last one where an id occurs twice."""
    return {entry['id']: i for i, entry in enumerate(entries)}
