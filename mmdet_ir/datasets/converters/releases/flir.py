"""FLIR ADAS v1.3 (2019) and v2 (2022), thermal images. Both have boxes only, and their own splits.

The polygons of v1.3 are the corners of the boxes, hence not read.
"""

import re
from functools import partial
from pathlib import Path

from ...validation.repairs.values import numbers_within
from ..builder import Instance
from ..images import name_in_set, resolve_inside
from ..labels.coco_source import read_coco_source, stated_size
from ..records import Options, Record, skip, write_records
from ..report import ConversionReport

V1_PARTS = {'train': 'train', 'val': 'val', 'video': 'test'}
V2_PARTS = {'images_thermal_train': 'train', 'images_thermal_val': 'val', 'video_thermal_test': 'test'}
_V2_NAME = re.compile(r'video-(?P<clip>[^-]+)-frame-(?P<frame>\d+)')


def convert_flir_v1(
    src: str | Path, out: str | Path, bits: int = 8, keep_eight_bit: bool = False, options: Options | None = None
) -> ConversionReport:
    """Convert FLIR ADAS v1.3.

    Args:
        src: Folder with ``train/``, ``val/`` and ``video/`` (becomes ``test``), each with ``thermal_annotations.json``
            and ``thermal_8_bit/`` or ``thermal_16_bit/``. Parts that are not there are left out with a note.
        out: Folder to write.
        bits: 8 for the JPEGs after gain control, 16 for the TIFFs with 14-bit counts.
        keep_eight_bit: With 16 bits, whether to keep files that hold 8-bit levels only.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If no part is there.
        ValueError: If ``bits`` is neither 8 nor 16, an annotation file is unsound, or nothing is left to write.
    """
    src = Path(src)
    folders = {8: 'thermal_8_bit', 16: 'thermal_16_bit'}
    return _convert(
        src, out, V1_PARTS, 'thermal_annotations.json', folders, bits, keep_eight_bit, options, 'FLIR ADAS v1.3'
    )


def convert_flir_v2(
    src: str | Path, out: str | Path, bits: int = 8, keep_eight_bit: bool = False, options: Options | None = None
) -> ConversionReport:
    """Convert FLIR ADAS v2. Classes are mapped by name, as their ids differ between the release's documents.

    Args:
        src: Folder with ``images_thermal_train/``, ``images_thermal_val/`` and ``video_thermal_test/``, each with
            ``coco.json`` and ``data/`` or ``analyticsData/``. Parts that are not there are left out with a note.
        out: Folder to write.
        bits: 8 for the JPEGs, 16 for the TIFFs of ``analyticsData/``.
        keep_eight_bit: With 16 bits, whether to keep files that hold 8-bit levels only; the release has about 1,000.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If no part is there.
        ValueError: If ``bits`` is neither 8 nor 16, an annotation file is unsound, or nothing is left to write.
    """
    folders = {8: 'data', 16: 'analyticsData'}
    return _convert(Path(src), out, V2_PARTS, 'coco.json', folders, bits, keep_eight_bit, options, 'FLIR ADAS v2')


def _convert(src, out, parts, file_name, folders, bits, keep_eight_bit, options, description) -> ConversionReport:
    if bits not in folders:
        raise ValueError(f'expected 8 or 16 bits, got {bits}')
    present = [part for part in parts if (src / part / file_name).is_file()]
    if not present:
        old = ' (v1.0 of 2018 has a file for each image instead, and is not read)' if parts is V1_PARTS else ''
        raise FileNotFoundError(f'{src}: expected {file_name} in one of {", ".join(parts)}, found none{old}')
    report, records, clips = ConversionReport(), [], {}
    report.notes += [
        f'{src / part / file_name} is not there, so nothing was read for {parts[part]}'
        for part in parts
        if part not in present
    ]
    for part in present:
        for record in _read_part(src, part, parts[part], file_name, folders[bits], bits, report):
            records.append(record)
            clips.setdefault(record.split, set()).add(record.fields.get('clip'))
    shared = {a: clips[a] & clips.get('train', set()) - {None} for a in clips if a != 'train'}
    report.notes += [
        f'the release shares {len(both)} recordings between train and {split}'
        for split, both in shared.items()
        if both
    ]
    return write_records(
        records,
        out,
        f'{description}, {bits} bits',
        options or Options(),
        report,
        bits == 16,
        keep_eight_bit,
        sources=[src],
    )


def _read_part(src, part, split, file_name, folder, bits, report) -> list[Record]:
    path = src / part / file_name
    records = []
    for image, annotations in read_coco_source(path, report).images:
        where = f'{path}, image id {image["id"]}'
        labels = [name for name, _ in annotations]
        record = Record(src, '', split, where, labels, partial(_read_boxes, annotations, path), stated_size(image))
        try:
            # Whatever folder the name has, the pictures with boxes drawn in (Annotated_*) are never read.
            record.path = resolve_inside(src, src / part, image['file_name'], where)
        except ValueError as error:
            skip(report, record, str(error))
            continue
        record.path = src / part / folder / record.path.name
        if bits == 16:
            record.path = record.path.with_suffix('.tiff')
        record.name = name_in_set(src, record.path)
        name = _V2_NAME.match(record.path.name)
        record.fields = {'clip': name['clip'], 'frame': int(name['frame'])} if name else {}
        records.append(record)
    return records


def _read_boxes(annotations: list[tuple[str, dict]], path: Path, width: int, height: int) -> list[Instance]:
    items = []
    for name, entry in annotations:
        item = Instance(name, f'{path}, annotation id {entry.get("id")}', numbers_within(entry.get('bbox')))
        item.fields = {'source_id': entry.get('id')}
        for flag in ('iscrowd', 'ignore'):
            item.read_flag(flag, entry.get(flag))
        items.append(item)
    return items
