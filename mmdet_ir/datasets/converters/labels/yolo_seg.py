"""YOLO segmentation labels: a text file an image, a line an object, class and normalised polygon."""

import glob
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import yaml

from ....fileio import read_lines, read_text
from ...images.files import image_suffixes
from ...validation.repairs.values import as_number, numbers_within
from ..builder import ALL, Instance
from ..images import ImageFinder, find_source_files, name_in_set, note_shared, resolve_inside
from ..records import Options, Record, split_of, write_records
from ..report import ConversionReport
from .yolo_lines import TRACK, Lines, has_tracks, keypoint_length

SPLIT_KEYS = ('train', 'val', 'test')
GENERAL = {'images', 'labels', 'data', 'img', 'imgs'}  # folders that tell nothing by themselves
AS_YAML = ('tag:yaml.org,2002:null', 'tag:yaml.org,2002:merge')  # what a scalar without quotes may mean
NO_LABELS = ('classes.txt', 'obj.names')  # lists of names that tools leave beside labels, or write alone


def convert_yolo_seg(src: str | Path, out: str | Path, options: Options | None = None) -> ConversionReport:
    """Convert YOLO's layout: ``data.yaml``, ``images/``, ``labels/``.

    A line of class and six or more coordinates is a polygon, rounded to 0.01 pixel, one of class and four numbers a
    box (centre, width, height). An image without a label file is taken as empty, as YOLO does. Lines of a box and
    keypoints are left out: by ``kpt_shape`` of ``data.yaml``, or where all lines are of this kind. So are lines of a
    tracker (a box, a confidence and the number of a track); where they may be triangles, a note says what was decided.

    Args:
        src: Folder with ``data.yaml`` (or one YAML file of another name): ``names``, and for ``train``, ``val`` and
            ``test`` a folder of images, a text file that lists images, an image, or a list of these; relative to
            ``path`` if that is a folder inside ``src``, else to ``src``, where they are found by the ends of their
            names as well. Without a YAML file, ``classes.txt`` or ``obj.names`` with the names of the classes, and
            lists of images named after the splits, as Label Studio and CVAT ("YOLO 1.1") write them. The labels of
            ``images/.../x.png`` are in ``labels/.../x.txt``.
        out: Folder to write.
        options: The user's choices.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If ``data.yaml`` is missing, or nothing that it names is there.
        ValueError: If ``data.yaml`` is unsound or leads out of ``src``, or nothing is left to write.
    """
    src, report, records = Path(src), ConversionReport(), []
    path = _find_names(src)
    names, entries = _read_names(src, path) if path.name in NO_LABELS else _read_yaml(path)
    root = _find_root(src, entries.get('path'))
    finder = ImageFinder(src)
    files, without, images = {}, 0, defaultdict(dict)
    for split, place in _find_places(src, root, entries, path, report):
        for image in _images_of(src, place, finder, root, report):
            label = _label_file(src, image.relative_to(src))
            without += not label.is_file()
            if label.is_file():
                images[label][image] = True  # (two splits may have one image)
            try:
                rows = [row.split() for row in read_lines(label)] if label.is_file() else []
            except ValueError as error:
                report.skipped.append(str(error))
                files[label] = Lines(label, [], names)
                continue
            lines = files[label] = Lines(label, rows, names)
            records.append(
                Record(image, name_in_set(src, image), split, str(label), lines.labels, partial(_read, lines))
            )
    if without:
        report.notes.append(f'{without} images have no label file and were taken as empty')
    note_shared({label: list(found) for label, found in images.items()}, report)
    finder.report(report)
    length = keypoint_length(numbers_within(entries.get('kpt_shape')), list(files.values()))
    tracks = has_tracks(list(files.values())) if length != TRACK else False
    for lines in files.values():
        lines.keypoints, lines.tracks = length, tracks
    unsure = [where for lines in files.values() for where in lines.like_tracks()] if length != TRACK else []
    if unsure:
        kinds = ('triangles', 'a box, a confidence and the number of a track')
        report.notes.append(
            f'{len(unsure)} lines of {TRACK} numbers after the class end with a whole number, the first: {unsure[0]}; '
            f'by the other lines of the labels they are {kinds[tracks]}, not {kinds[not tracks]}'
        )
    texts = [path for path in find_source_files(src, report, ('.txt',)) if path.name not in NO_LABELS]
    orphans = {path for path in texts if 'labels' in map(str.lower, path.relative_to(src).parts[:-1])} - files.keys()
    for orphan in sorted(orphans):
        report.skipped.append(f'{orphan}: no image of any split for this label file{_unread_image(orphan)}')
    return write_records(
        records,
        out,
        'converted from YOLO labels',
        options or Options(),
        report,
        declared=list(names.values()),
        sources=[src],
    )


def _read(lines: Lines, width: int, height: int) -> list[Instance]:
    return lines.read(width, height)


def _find_names(src: Path) -> Path:
    """``data.yaml``, or the only other YAML file; where there is none, a list of names."""
    usual = src / 'data.yaml'
    others = sorted([*src.glob('*.yaml'), *src.glob('*.yml')])
    if usual.is_file() or len(others) != 1:
        lists = [src / name for name in NO_LABELS if (src / name).is_file() and not others]
        if lists:
            return lists[0]
        more = f'; which of {", ".join(p.name for p in others)} is it?' if others else ''
        if not usual.is_file():
            raise FileNotFoundError(f'{usual}: no such file; YOLO data needs it for the names of its classes{more}')
        return usual
    return others[0]


def _read_names(src: Path, path: Path) -> tuple[dict[int, str], dict]:
    """Names of the classes, a line each, and lists of images named after a split, or else all images."""
    names = {number: line.strip() for number, line in enumerate(read_lines(path)) if line.strip()}
    if not names:
        raise ValueError(f'{path}: expected names of classes, a line each, got none')
    entries = {}
    for file in sorted(src.glob('*.txt')):
        if (split := split_of((file.stem,))) != ALL:
            entries.setdefault(split, []).append(file.name)
    return names, entries or {ALL: 'images' if (src / 'images').is_dir() else '.'}


class _Loader(yaml.SafeLoader):
    """Scalars of YAML as they are written (``no`` and ``1.10`` are names); a key that stands twice is refused."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in AS_YAML]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        key = next((key for key, n in keys.items() if n > 1), None)
        if key is not None:
            raise ValueError(f'the key {key!r} stands more than once (from line {node.start_mark.line + 1} on)')
        return node


def _read_yaml(path: Path) -> tuple[dict[int, str], dict]:
    text = read_text(path)
    try:
        entries = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f'{path}: not valid YAML: {error}') from error
    names = entries.get('names') if isinstance(entries, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict):
        numbered = [(as_number(key), name) for key, name in names.items()]
        if len(dict(numbered)) < len(numbered):
            raise ValueError(f'{path}: expected each number of "names" once, got {list(names)}')
        names = dict(numbered)
    if not isinstance(names, dict) or not names or not all(isinstance(key, int) for key in names):
        raise ValueError(f'{path}: expected "names" as a list or as numbers with names')
    # (Nested values are not shown: a small file can hold astronomically many of them.)
    if not all(isinstance(name, str | int | float) for name in names.values()):
        raise ValueError(f'{path}: expected "names" to hold text')
    if not any(entries.get(split) for split in SPLIT_KEYS):
        raise ValueError(f'{path}: expected at least one of train, val and test')
    return {key: str(name) for key, name in names.items()}, {k: v for k, v in entries.items() if k != ALL}


def _find_root(src: Path, name: object) -> Path:
    """``path`` of ``data.yaml`` if it is a folder inside ``src``; it often points to where the data once was."""
    try:
        inner = resolve_inside(src, src, name, 'path')
    except ValueError:
        return src
    return inner if inner.is_dir() else src


def _find_places(
    src: Path, root: Path, entries: dict, yaml_file: Path, report: ConversionReport
) -> list[tuple[str, Path]]:
    """The folders and lists of all splits that are there; what is not there is reported."""
    found, missing, refused = [], [], []
    for split in (*SPLIT_KEYS, ALL):
        places = entries.get(split) or []
        for place in places if isinstance(places, list) else [places]:
            where = f'{yaml_file}, {split}'
            try:
                path = _find_place(src, root, place, where)
            except ValueError as error:
                if not isinstance(place, str):
                    raise
                refused.append(error)
                missing.append((split, f'{where}: {place!r} is not in {src}, so nothing was read for it'))
                continue
            if path.exists():
                found.append((split, path))
            else:
                missing.append((split, f'{where}: {place!r} is not in {src}, so nothing was read for it'))
    if not found:
        places = ', '.join(f'{entries[split]!r} ({split})' for split, _ in missing)
        lost = FileNotFoundError(f'{yaml_file}: expected a folder or a text file for a split, found none of {places}')
        raise refused[0] if refused else lost
    for split, text in missing:  # YOLO itself does without a test part, and tools name one whether there is any or not
        (report.notes if split == 'test' else report.skipped).append(text)
    return found


def _find_place(src: Path, root: Path, place: object, where: str) -> Path:
    """A folder or list by its name, or by the end of its name where it names another machine or folder."""
    refused, path = None, None
    for base in (root, src):
        try:
            path = resolve_inside(src, base, place, where)
        except ValueError as error:
            refused = error
        else:
            if path.exists():
                return path
    parts = place.replace('\\', '/').split('/') if isinstance(place, str) else []
    parts = [part for part in parts if part not in ('', '.', '..')]
    for i in range(len(parts)):
        end = src.joinpath(*parts[i:])
        if (i == 0 or not set(parts[i:]) <= GENERAL) and end.exists():
            return end
    if path is None:
        raise refused
    return path


def _images_of(src: Path, place: Path, finder: ImageFinder, root: Path, report: ConversionReport) -> list[Path]:
    """The images of a folder, of a list, or the image itself."""
    if place.is_dir():
        return find_source_files(src, report, folder=place)
    return [place] if place.suffix.lower() in image_suffixes() else _read_list(finder, root, place, report)


def _read_list(finder: ImageFinder, root: Path, path: Path, report: ConversionReport) -> list[Path]:
    """Images of a text file with one name a line."""
    images = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            try:
                images.append(finder.find(root, line.strip(), f'{path}, line {number}'))
            except ValueError as error:
                report.skipped.append(str(error))
    return images


def _unread_image(label: Path) -> str:
    """What is there under the name of a label file's image, if it is of a kind that is not read."""
    parts = label.parent.parts
    folder = _in_any_case(Path(parts[0]), ['images' if part.lower() == 'labels' else part for part in parts[1:]])
    others = [path.name for path in sorted(folder.glob(f'{glob.escape(label.stem)}.*')) if path.is_file()]
    others = [name for name in others if Path(name).suffix.lower() not in image_suffixes()]
    return f' ({others[0]} is there, which is no kind of image that is read)' if others else ''


def _label_file(src: Path, image: Path) -> Path:
    """``labels/.../x.txt`` for ``images/.../x.png``: the last folder ``images`` is exchanged, in any case."""
    parts = list(image.parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i].lower() == 'images':
            parts[i] = 'labels'
            break
    name = parts[-1]
    parts[-1] = (name[: name.rindex('.')] if Path(name).suffix.lower() in image_suffixes() else name) + '.txt'
    return _in_any_case(src, parts)


def _in_any_case(folder: Path, parts: list[str]) -> Path:
    """A path below a folder; where it is not there, folders in it may be written in upper or lower case."""
    path = folder.joinpath(*parts)
    for part in () if path.exists() else parts[:-1]:
        others = [p.name for p in folder.iterdir() if p.name.lower() == part.lower()] if folder.is_dir() else []
        folder /= others[0] if part not in others and len(others) == 1 else part
    return path if path.exists() else folder / parts[-1]
