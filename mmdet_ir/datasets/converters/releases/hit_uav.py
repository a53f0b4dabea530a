"""HIT-UAV (Suo et al., Scientific Data 10, 227, 2023; CC BY 4.0) to COCO with derived masks.

The release's own split puts neighbouring frames of one flight into training and test, so the images are split
again by recording date.
"""

import math
import shutil
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ....cli.choices import VAL_DATES
from ....fileio import read_json
from ...coco_files import CLASSES, DEV, SPLITS, check_file_name, output_folder
from ...coco_split import existing_split, keep_split
from ...derived_masks import box_corners
from ...images.image_limits import check_image
from ..boxes_to_coco import DERIVED
from ..builder import CocoBuilder, Instance
from ..report import ConversionReport

PARTS = ('train', 'val', 'test')
CLASS_OF = {'Person': ('human',), 'Car': ('car',), 'Bicycle': ('bicycle',)}
# No class of ours, yet no background either: a detection there counts neither as right nor as wrong.
# OtherVehicle (lorries, buses) is what a detector may well call a car; DontCare may be any class of the release.
IGNORED_AS = {'OtherVehicle': ('car',), 'DontCare': ('human', 'car', 'bicycle')}
SCENARIOS = {'0': 'day', '1': 'night'}
JOIN_TOLERANCE = 2.0  # pixels between the box and the envelope of its oriented twin; the release rounds down


def convert_hit_uav(
    src: str | Path,
    out: str | Path,
    val_dates: tuple[str, ...] = VAL_DATES,
    overwrite: bool = False,
    dev_dates: tuple[str, ...] = (),
) -> ConversionReport:
    """Convert HIT-UAV from its release's layout.

    Args:
        src: Folder with ``normal_json/`` and ``rotate_json/``.
        out: Folder to write: ``annotations/{train,val}.json`` and ``images/``, and ``dev.json`` if there are
            ``dev_dates``.
        val_dates: Recording dates (YYYYMMDD) of the validation part; all others are for training.
        overwrite: Whether to replace a data set that is in ``out``.
        dev_dates: Recording dates to set aside from training, for choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If an annotation file is missing.
        ValueError: If an annotation file is not as the release has it, a date does not occur or is in both, one of the
            parts would be empty, or no image can be read.
    """
    src = Path(src)
    records = [record for part in PARTS for record in _read_part(src, part)]
    _check_dates(src, records, val_dates, dev_dates)
    splits = (*SPLITS, DEV) if dev_dates else SPLITS
    split_of = dict.fromkeys(val_dates, 'val') | dict.fromkeys(dev_dates, DEV)
    report = ConversionReport()
    builder = CocoBuilder(
        'HIT-UAV, split by recording date',
        {name: name for name in CLASSES},
        report,
        derive_masks=True,
        licence=('CC BY 4.0', 'https://creativecommons.org/licenses/by/4.0/'),
        splits=splits,
    )
    builder.info |= {'masks': DERIVED, 'val_dates': list(val_dates)}
    builder.info |= {'dev_dates': list(dev_dates)} if dev_dates else {}
    turned_apart = 0
    with output_folder(out, overwrite, [src]) as folder:
        former = existing_split(Path(out, 'annotations'))
        for record in tqdm(records, desc='hit-uav', unit='image'):
            path, fields = record['path'], record['fields']
            target = folder / 'images' / path.name
            if target.exists():
                raise ValueError(f'{path}: another part of the release has an image of this name')
            try:
                check_image(path, path)
                image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            except (OSError, ValueError):  # absent, damaged or too large
                image = None
            if image is None or image.shape != record['shape']:
                report.skipped.append(f'{path}: {_what_is_wrong(path, image, record["shape"])}')
                continue
            shutil.copyfile(path, target)
            split = split_of.get(fields['date'], 'train')
            builder.add_image(split, path.name, image, record['objects'], **fields)
            turned_apart += record['apart']
        for split in splits:
            if not report.images[split]:
                raise ValueError(
                    f'{src}: no readable image for {split}; first of {len(report.skipped)} problems: '
                    f'{report.skipped[0]}'
                )
        builder.write(folder)
        if former and (said := keep_split(folder / 'annotations', former)):
            report.notes.append(said)
    if turned_apart:
        report.notes.append(f'{turned_apart} oriented boxes do not fit their upright boxes, which were used instead')
    return report


def _what_is_wrong(path: Path, image: np.ndarray | None, shape: tuple[int, int]) -> str:
    if image is not None:
        return f'expected height and width {shape}, got {image.shape}'
    return 'not a readable image' if path.is_file() else 'no such file'


def _check_dates(src: Path, records: list[dict], val_dates: tuple[str, ...], dev_dates: tuple[str, ...]) -> None:
    found = sorted({record['fields']['date'] for record in records})
    absent = [date for date in val_dates if date not in found]
    if absent or not val_dates:
        raise ValueError(
            f'{src}: no image of the validation dates {", ".join(absent) or "(none given)"}; '
            f'dates found: {", ".join(found)}'
        )
    absent = [date for date in dev_dates if date not in found]
    if absent:
        raise ValueError(
            f'{src}: no image of the dates to set aside, {", ".join(absent)}; dates found: {", ".join(found)}'
        )
    both = sorted({*val_dates} & {*dev_dates})
    if both:
        raise ValueError(
            f'{src}: expected each date in one part, got {", ".join(both)} for validation and for choices'
        )
    if set(found) <= {*val_dates, *dev_dates}:
        raise ValueError(f'{src}: no date is left for training; dates found: {", ".join(found)}')


def _read_part(src: Path, part: str) -> list[dict]:
    """Images of one part of the release with their objects, upright and oriented boxes joined by annotation id."""
    normal_file = src / 'normal_json' / 'annotations' / f'{part}.json'
    rotate_file = src / 'rotate_json' / 'annotations' / f'{part}.json'
    normal, rotate = read_json(normal_file), read_json(rotate_file)
    try:
        classes = {entry['id']: entry['name'] for entry in normal['categories']}
        unknown = sorted(set(classes.values()) - CLASS_OF.keys() - IGNORED_AS.keys())
        if unknown:
            raise ValueError(f'{normal_file}: expected classes of {[*CLASS_OF, *IGNORED_AS]}, got {unknown}')
        turned = {entry['id']: entry for entry in rotate['annotations']}
        details = {entry['id']: entry for entry in rotate['images']}
        records = {}
        for image in normal['images']:
            name = check_file_name(image['filename'], f'{normal_file}, image id {image["id"]}')
            more = details.get(image['id'])
            if more is None or more['filename'] != name:
                raise ValueError(
                    f'{rotate_file}: image id {image["id"]} ({name}) of normal_json is missing or has '
                    f'another file name'
                )
            records[image['id']] = {
                'path': src / 'normal_json' / part / name,
                'shape': (int(image['height']), int(image['width'])),
                'objects': [],
                'apart': 0,
                'fields': {
                    'date': str(more['date']),
                    'scenario': SCENARIOS[str(more['scenario'])],
                    'altitude': int(more['altitude']),
                    'perspective': int(more['perspective']),
                    'source_split': part,
                },
            }
        for entry in normal['annotation']:
            twin = turned.get(entry['id'])
            if twin is None or (twin['image_id'], twin['category_id']) != (entry['image_id'], entry['category_id']):
                raise ValueError(
                    f'{rotate_file}: annotation id {entry["id"]} is missing, or is of another image or '
                    f'class than in normal_json'
                )
            if entry['image_id'] not in records:
                raise ValueError(
                    f'{normal_file}: annotation id {entry["id"]} is of an unknown image id {entry["image_id"]}'
                )
            where = f'{normal_file}, annotation id {entry["id"]}'
            item, apart = _to_object(entry, twin, classes[entry['category_id']], where)
            records[entry['image_id']]['objects'].append(item)
            records[entry['image_id']]['apart'] += apart
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f'{normal_file} or its twin in rotate_json is not as in the release: {error!r}') from error
    return list(records.values())


def _to_object(entry: dict, twin: dict, name: str, where: str) -> tuple[Instance, bool]:
    """An object from the upright box and its oriented twin (cx, cy, w, h, radians), and whether the two differ."""
    x, y, w, h = (float(v) for v in entry['bbox'])
    corners = box_corners(*(float(v) for v in twin['bbox']))
    difference = np.abs(np.concatenate([corners.min(axis=0), corners.max(axis=0)]) - [x, y, x + w, y + h]).max()
    apart = not math.isfinite(difference) or difference > JOIN_TOLERANCE
    item = Instance(name, where, [x, y, w, h], ignore=name in IGNORED_AS, fields={'source_id': entry['id']})
    item.corners = None if apart else corners
    item.targets = CLASS_OF.get(name) or IGNORED_AS[name]
    return item, apart
