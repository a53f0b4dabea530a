"""CVAT's "COCO 1.0" export, and COCO files of the layouts of Roboflow, Label Studio and others."""

import re
from functools import partial
from pathlib import Path

import numpy as np

from ....fileio import read_json
from ...coco_merge import append_licences
from ...images.files import image_suffixes
from ...validation.checks.parts import hole_mask
from ...validation.repairs.values import as_list, as_number, as_polygons, as_rle, numbers_within
from ..builder import ALL, Instance
from ..images import ImageFinder, find_source_files, name_in_set
from ..masks import decode_rle, is_numbers, leave_far, polygons_fault
from ..records import Options, Record, skip, split_of, write_records
from ..report import ConversionReport
from ..values import is_number
from .coco_source import read_coco_source, stated_size

_YEAR = re.compile(r'[-_ ]?(19|20)[0-9]{2}$')  # of the parts of COCO itself: train2017
_OWN_FIELDS = ('id', 'file_name', 'width', 'height', 'license', 'page', 'eight_bit')  # of images
OTHER_FILES = ('_annotations.coco.json', 'result.json')  # of Roboflow, of Label Studio


def convert_cvat_coco(
    src: str | Path, out: str | Path, keep_iscrowd: bool = False, options: Options | None = None
) -> ConversionReport:
    """Convert ``annotations/instances_SUBSET.json``.

    CVAT writes brush masks as uncompressed RLE and marks every one of them ``iscrowd: 1``, whether it is a crowd or
    not (datumaro's COCO exporter: ``is_crowd = mask is not None``). Hence RLE objects become instances unless
    ``keep_iscrowd`` is set. A polygon that is exactly its box is a box without a mask. A
    box without a mask that has an attribute ``rotation`` (degrees, clockwise) is turned about its centre. What is
    marked ``ignore: 1``, as X-AnyLabeling marks difficult objects, is an ignored region. Masks that ``mask_source``
    marks as derived stay derived ones. Licences and further fields of the images that are texts or numbers are kept,
    but for names of other image files, which are not taken over.

    Args:
        src: Folder with ``annotations/`` and ``images/SUBSET/`` or ``images/`` (without such a folder, the images
            themselves, among which an export without images was unpacked); or with ``_annotations.coco.json``
            beside the images of each ``SUBSET/``, as Roboflow writes it, or ``result.json`` beside ``images/``, as
            Label Studio does; or with other JSON files of COCO's sections, beside their images, ``images/`` or
            ``data/``, or in ``annotations/`` beside ``images/``. The subsets train, val(idation) and test, also with
            a year as in ``train2017``, are splits; the others go to ``all``.
        out: Folder to write.
        keep_iscrowd: Whether RLE objects with ``iscrowd: 1`` are ignored regions, as COCO means it.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: If an annotation file is unsound, or nothing is left to write.
    """
    src, report, records = Path(src), ConversionReport(), []
    counts = {'crowd': 0, 'box': 0, 'hole': 0, 'turned': 0, 'short': 0}
    finder, declared, head = ImageFinder(src), [], {'licenses': []}
    for path, subset, folders in _find_files(src, report):
        source = read_coco_source(path, report)
        declared += source.classes
        licences = append_licences(head, source.licences)
        names = [image['file_name'] for image, _ in source.images]
        paths = finder.find_listed(folders, names, str(path))
        for (image, annotations), found in zip(source.images, paths, strict=True):
            where = f'{path}, image id {image["id"]}'
            read = partial(_read_objects, annotations, path, keep_iscrowd, counts)
            record = Record(
                src,
                '',
                split_of((_YEAR.sub('', subset),)),
                where,
                [name for name, _ in annotations],
                read,
                stated_size(image),
            )
            if not isinstance(found, Path):
                skip(report, record, str(found))
                continue
            record.path = found
            record.name = name_in_set(src, record.path)
            record.fields = {**_further_fields(image), 'subset': subset}
            if (licence := licences.get(str(image.get('license')))) is not None:
                record.fields['license'] = licence
            records.append(record)
    finder.report(report, src)
    write_records(
        records,
        out,
        'converted from CVAT COCO 1.0',
        options or Options(),
        report,
        declared=declared,
        sources=[src],
        licences=head['licenses'],
    )
    if counts['crowd']:
        report.notes.append(
            f'{counts["crowd"]} masks marked iscrowd were read as instances, as CVAT marks all its '
            f'masks so (--keep-iscrowd: as ignored regions)'
        )
    if counts['box']:
        report.notes.append(f'{counts["box"]} polygons are just their boxes and were taken as boxes without a mask')
    if counts['turned']:
        report.notes.append(
            f'{counts["turned"]} boxes have a rotation and no mask; the boxes around the turned boxes were written'
        )
    if counts['short']:
        report.notes.append(
            f'{counts["short"]} masks have parts of fewer than 3 points beside whole ones; these parts were left out'
        )
    if counts['hole']:
        report.notes.append(f'{counts["hole"]} masks have polygons that are holes by their "area"; they were cut out')
    return report


def _further_fields(image: dict) -> dict:
    """Texts and numbers of an image's entry beside those that this project writes itself, such as ``clip``."""
    return {
        key: value
        for key, value in image.items()
        if key not in _OWN_FIELDS
        and (value or key != 'date_captured')  # (CVAT writes 0 for none)
        and (is_number(value) or isinstance(value, bool) or (isinstance(value, str) and value))
        and not (isinstance(value, str) and '://' not in value and Path(value).suffix.lower() in image_suffixes())
    }


def _find_files(src: Path, report: ConversionReport) -> list[tuple[Path, str, list[Path]]]:
    """Annotation files with their subsets and the folders that their file names may be relative to."""
    found = []
    for path in sorted((src / 'annotations').glob('instances_*.json')):
        subset = path.stem.removeprefix('instances_')
        folders = [src / 'images' / subset, src / subset, src / 'images']
        found.append((path, subset, folders if any(folder.is_dir() for folder in folders) else [src]))
    for path in [] if found else find_source_files(src, report, ('.json',)):
        if path.name in OTHER_FILES:
            subset = path.parent.name if path.parent != src else 'default'
            found.append((path, subset, [path.parent, path.parent / 'images']))
    for path in [] if found else find_source_files(src, report, ('.json',)):
        if _is_coco(path):
            folders = (path.parent, path.parent / 'images', path.parent / 'data', path.parent.parent / 'images', src)
            found.append((path, _subset_of(path, src), [folder for folder in folders if folder.is_relative_to(src)]))
    found.sort(key=lambda item: split_of((item[1],)) == ALL)  # (what all.json repeats is in its part already)
    if not found:
        raise FileNotFoundError(
            f'{src}: expected annotations/instances_SUBSET.json, {", ".join(OTHER_FILES)}, or another JSON file with '
            f'images, annotations and categories, found none'
        )
    return found


def _is_coco(path: Path) -> bool:
    try:
        content = read_json(path)
    except ValueError:
        return False
    return all(isinstance(content.get(section), list) for section in ('images', 'annotations', 'categories'))


def _subset_of(path: Path, src: Path) -> str:
    """The name of a file or of a folder that it is in, the first that is a split's; else the name of the file."""
    names = [path.stem.removeprefix('instances_'), *reversed(path.relative_to(src).parent.parts)]
    return next((name for name in names if split_of((_YEAR.sub('', name),)) != ALL), names[0])


def _read_objects(annotations, path: Path, keep_iscrowd: bool, counts: dict, width: int, height: int):
    return [_read_object(name, entry, path, keep_iscrowd, counts, width, height) for name, entry in annotations]


def _read_object(
    name: str, entry: dict, path: Path, keep_iscrowd: bool, counts: dict, width: int, height: int
) -> Instance:
    item = Instance(name, f'{path}, annotation id {entry.get("id")}', numbers_within(entry.get('bbox')))
    item.fields = {'source_id': entry.get('id')}
    segmentation, cut = as_polygons(as_rle(numbers_within(as_list(entry.get('segmentation')))))
    counts['short'] += cut and bool(segmentation)
    item.read_flag('iscrowd', entry.get('iscrowd'))
    crowd = item.ignore
    if item.fault:
        return item
    if isinstance(segmentation, dict):
        try:
            item.mask = decode_rle(segmentation, width, height)
        except ValueError as error:
            item.fault = str(error)
            return item
        item.ignore = crowd and keep_iscrowd
        counts['crowd'] += crowd and not keep_iscrowd
    elif segmentation:
        item.fault = polygons_fault(segmentation)
        if not item.fault and 'mask_source' not in entry and _is_box(segmentation, item.box):
            counts['box'] += 1
        elif not item.fault:
            area = as_number(entry.get('area'))
            usable = is_number(area) and not leave_far(segmentation, width, height)
            ring = hole_mask(segmentation, area, width, height) if usable else None
            counts['hole'] += ring is not None
            item.mask = segmentation if ring is None else ring
    if item.mask is not None and entry.get('mask_source') == 'derived':
        item.method = str(entry.get('mask_method') or 'unknown')
    attributes = entry.get('attributes')
    if item.mask is None and not item.fault and isinstance(attributes, dict):
        item.turn(attributes.get('rotation'))
        counts['turned'] += item.corners is not None
    item.read_flag('ignore', entry.get('ignore'))
    return item


def _is_box(polygons: list[list[float]], box: object) -> bool:
    """Whether the only polygon has the four corners of the box (xywh)."""
    if len(polygons) != 1 or len(polygons[0]) != 8 or not is_numbers(box, 4):
        return False
    x, y, w, h = box
    corners = sorted([(x, y), (x + w, y), (x, y + h), (x + w, y + h)])
    return np.allclose(sorted(zip(polygons[0][::2], polygons[0][1::2], strict=True)), corners, atol=0.01)
