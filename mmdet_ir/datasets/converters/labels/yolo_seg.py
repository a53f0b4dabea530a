"""YOLO segmentation labels: a text file an image, a line an object, class and normalised polygon."""

import math
from functools import partial
from pathlib import Path

import yaml

from ...images.files import IMAGE_SUFFIXES, find_files, find_images
from ..images import name_in_set, resolve_inside
from ..records import Instance, Options, Record, write_records
from ..report import ConversionReport

SPLIT_KEYS = ('train', 'val', 'test')
TOLERANCE = 0.01  # of the image, by which a coordinate may exceed it


def convert_yolo_seg(src: str | Path, out: str | Path, options: Options | None = None) -> ConversionReport:
    """Convert YOLO's layout: ``data.yaml``, ``images/``, ``labels/``.

    A line of class and six or more coordinates is a polygon, rounded to 0.01 pixel, one of class and four numbers a
    box (centre, width, height). An image without a label file is taken as empty, as YOLO does.

    Args:
        src: Folder with ``data.yaml``: ``names``, and for ``train``, ``val`` and ``test`` a folder of images, a text
            file that lists images, or a list of these; relative to ``path`` if that is a folder inside ``src``, else
            to ``src``. The labels of ``images/.../x.png`` are in ``labels/.../x.txt``.
        out: Folder to write.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If ``data.yaml`` or a folder it names is missing.
        ValueError: If ``data.yaml`` is unsound or leads out of ``src``, or nothing is left to write.
    """
    src, report, records = Path(src), ConversionReport(), []
    path = src / 'data.yaml'
    names, entries = _read_yaml(path)
    root = _find_root(src, entries.get('path'))
    labels, without = set(), 0
    for split in SPLIT_KEYS:
        places = entries.get(split) or []
        for place in places if isinstance(places, list) else [places]:
            for image in _list_images(src, root, place, f'{path}, {split}', report):
                relative = image.relative_to(src)
                label = _label_file(src, relative)
                labels.add(label)
                without += not label.is_file()
                try:
                    rows = label.read_text(encoding='utf-8').splitlines() if label.is_file() else []
                except ValueError as error:
                    report.skipped.append(f'{label}: not a text file: {error}')
                    continue
                rows = [(i, row.split()) for i, row in enumerate(rows, start=1) if row.strip()]
                known = [_name_of(row, names) for _, row in rows]
                read = partial(_read_objects, rows, known, label)
                records.append(Record(image, name_in_set(src, image), split, str(label), known, read))
    if without:
        report.notes.append(f'{without} images have no label file and were taken as empty')
    texts = [path for path in find_files(src, ('.txt',)) if 'labels' in path.relative_to(src).parts[:-1]]
    orphans = sorted(set(texts) - labels)
    report.skipped += [f'{orphan}: no image of any split for this label file' for orphan in orphans]
    return write_records(records, out, 'converted from YOLO labels', options or Options(), report)


def _read_yaml(path: Path) -> tuple[dict[int, str], dict]:
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; YOLO data needs it for the names of its classes')
    try:
        entries = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f'{path}: not valid YAML: {error}') from error
    names = entries.get('names') if isinstance(entries, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(key, int) for key in names):
        raise ValueError(f'{path}: expected "names" as a list or as numbers with names')
    # (Nested values are not shown: a small file can hold astronomically many of them.)
    if not all(isinstance(name, str | int | float) for name in names.values()):
        raise ValueError(f'{path}: expected "names" to hold text')
    if not any(entries.get(split) for split in SPLIT_KEYS):
        raise ValueError(f'{path}: expected at least one of train, val and test')
    return {key: str(name) for key, name in names.items()}, entries


def _find_root(src: Path, name: object) -> Path:
    """``path`` of ``data.yaml`` if it is a folder inside ``src``; it often points to where the data once was."""
    try:
        inner = resolve_inside(src, src, name, 'path')
    except ValueError:
        return src
    return inner if inner.is_dir() else src


def _list_images(src: Path, root: Path, place: object, where: str, report: ConversionReport) -> list[Path]:
    """Images of a folder, or of a text file with one name a line."""
    # Some tools write ../train/images into a data.yaml that lies beside train/, and YOLO takes it as train/images.
    if isinstance(place, str) and place.startswith('../') and (root / place[3:]).exists():
        place = place[3:]
    path = resolve_inside(src, root, place, where)
    if path.is_dir():
        return find_images(path)
    if not path.is_file():
        raise FileNotFoundError(f'{where}: expected a folder or a text file, found no {path}')
    images = []
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        if line.strip():
            try:
                images.append(resolve_inside(src, root, line.strip(), f'{path}, line {number}'))
            except ValueError as error:
                report.skipped.append(str(error))
    return images


def _label_file(src: Path, image: Path) -> Path:
    """``labels/.../x.txt`` for ``images/.../x.png``: the last folder ``images`` is exchanged."""
    parts = list(image.parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == 'images':
            parts[i] = 'labels'
            break
    name = parts[-1]
    parts[-1] = (name[: name.rindex('.')] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name) + '.txt'
    return src.joinpath(*parts)


def _name_of(row: list[str], names: dict[int, str]) -> str:
    """Class of a line; a stand-in where there is none."""
    try:
        return names[int(row[0])]
    except (ValueError, KeyError):
        return '(unknown class)'


def _read_objects(rows: list, known: list[str], path: Path, width: int, height: int) -> list[Instance]:
    return [
        _read_object(name, row, f'{path}, line {number}', width, height)
        for name, (number, row) in zip(known, rows, strict=True)
    ]


def _read_object(name: str, row: list[str], where: str, width: int, height: int) -> Instance:
    item = Instance(name, where)
    try:
        values = [float(value) for value in row[1:]]
    except ValueError:
        item.fault = 'line with something else than numbers'
        return item
    if name == '(unknown class)':
        item.fault = 'class number that is not in data.yaml'
    elif len(values) != 4 and (len(values) < 6 or len(values) % 2):
        item.fault = f'line of {len(values)} numbers after the class; expected 4 (a box), or 6, 8, ... (a polygon)'
    elif not all(math.isfinite(v) and -TOLERANCE <= v <= 1 + TOLERANCE for v in values):
        item.fault = 'coordinates that are not between 0 and 1'
    elif len(values) == 4:
        x, y, w, h = values
        item.box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
    else:  # (in pixels; what exceeds the image by rounding is put on its edge)
        scaled = [min(max(v, 0.0), 1.0) * (height if i % 2 else width) for i, v in enumerate(values)]
        item.mask = [[round(v, 2) for v in scaled]]  # six decimals hold no more; a pixel must stay a whole one
    return item
