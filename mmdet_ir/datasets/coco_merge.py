"""Merging of data sets of this project's layout."""

from collections import Counter
from pathlib import Path

from mmengine.logging import print_log
from tqdm import tqdm

from ..fileio import read_json
from .coco_files import (
    CLASSES,
    DEV,
    MADE_BY,
    SPLITS,
    check_coco,
    lacks_targets,
    link_or_copy,
    output_folder,
    refuse,
    write_coco,
)
from .coco_split import existing_split, keep_split
from .images.files import image_suffixes
from .validation.checks.structure import frame_of, stays_inside

OPTIONAL = (DEV, 'test')  # parts that not every source must have


def merge_data_sets(out: str | Path, sources: list[str | Path], overwrite: bool = False) -> dict[str, dict]:
    """Merge data sets of this project's layout into one.

    Its classes are the project's four if the sources have no others, else those that all sources have. Ids are
    numbered anew, categories are mapped by name, and the images of ``SRC`` go to ``images/<name of SRC>/`` as hard
    links where the file system allows it, else as copies; so do further files that an image's entry names, such as the
    counts that belong to a picture. Images that are pages of one stack share its file. Each source's ``info`` and
    ``licenses`` are kept.

    Args:
        out: Folder of the merged data set.
        sources: Folders with ``annotations/{train,val}.json`` and ``images/``. What has ``dev.json`` or ``test.json``
            makes up this part of the merged data set. Other annotation files, and a ``test.json`` without targets,
            are left out, which the log tells.
        overwrite: Whether to replace a data set that is in ``out``.

    Returns:
        The merged COCO dictionary of each split.

    Raises:
        FileNotFoundError: If a source lacks a split or an image.
        ValueError: If ``out`` is a source or holds a source, two sources share a folder name, their classes differ,
            or an image is in two splits.
    """
    sources = [Path(source).resolve() for source in sources]
    names = [source.name for source in sources]
    refuse(out, 'sources share a folder name', [name for name, n in Counter(names).items() if n > 1])
    files = {(s, split): s / 'annotations' / f'{split}.json' for split in SPLITS for s in sources}
    optional = {(s, part): s / 'annotations' / f'{part}.json' for part in OPTIONAL for s in sources}
    files |= {key: path for key, path in optional.items() if path.is_file()}
    parts = _read_parts(files)
    files = {key: files[key] for key in parts}
    _tell_left_out(sources, set(files.values()))
    classes = _classes(files, parts)
    for source in sources:
        _check_frames({files[key]: parts[key]['images'] for key in files if key[0] == source})
    merged = {}
    with output_folder(out, overwrite, sources) as folder:
        former = existing_split(Path(out, 'annotations'))
        for split in dict.fromkeys(split for _, split in files):
            merged[split] = coco = {
                'info': {'description': 'merged from ' + ', '.join(names), **MADE_BY, 'sources': {}},
                'licenses': [],
                'categories': [{'id': i, 'name': name} for i, name in enumerate(classes, start=1)],
                'images': [],
                'annotations': [],
            }
            for (source, part), entries in parts.items():
                if part == split:
                    _append_source(coco, entries, classes, source, folder / 'images' / source.name, split)
            write_coco(coco, folder / 'annotations' / f'{split}.json')
        if former and (said := keep_split(folder / 'annotations', former)):
            print_log(said, 'current')
    return merged


def _read_parts(files: dict[tuple, Path]) -> dict[tuple, dict]:
    """The annotation files, apart from those of test parts whose ground truth is not public."""
    parts = {}
    for key, path in files.items():
        coco = read_json(path)
        if key[1] not in OPTIONAL or not lacks_targets(coco):
            check_coco(coco, path)
            parts[key] = coco
    return parts


def _tell_left_out(sources: list[Path], read: set[Path]) -> None:
    for path in (path for source in sources for path in sorted((source / 'annotations').glob('*.json'))):
        if path not in read:
            parts = ', '.join(f'{part}.json' for part in (*SPLITS, *OPTIONAL))
            print_log(f'{path}: left out: expected annotations in one of {parts}', 'current')


def _classes(files: dict, parts: dict[tuple, dict]) -> tuple[str, ...]:
    """Names of the merged categories."""
    names = {key: [category['name'] for category in part['categories']] for key, part in parts.items()}
    first = next(iter(names.values()))
    if all(set(own) <= set(CLASSES) for own in names.values()):
        return CLASSES
    for key, own in names.items():
        if set(own) != set(first):
            others = [name for name in [*own, *first] if name not in CLASSES]
            what = f'categories that are none of {", ".join(CLASSES)}, and not the same in all sources'
            refuse(files[key], what, list(dict.fromkeys(others)))
    return tuple(first)


def _check_frames(images: dict[Path, list[dict]]) -> None:
    """Raises ``ValueError`` if one image is in two annotation files of a source."""
    seen: dict[tuple, Path] = {}
    for path, entries in images.items():
        frames = {frame_of(image): path for image in entries}
        shared = [f'{name}, page {page}' if page else name for name, page in frames.keys() & seen.keys()]
        if shared:
            other = next(seen[frame] for frame in frames if frame in seen)
            refuse(path, f'images are in {other.name} as well, so that two parts share them', sorted(shared))
        seen |= frames


def _append_source(
    coco: dict, part: dict, classes: tuple[str, ...], source: Path, image_folder: Path, split: str
) -> None:
    """Append one source's split to ``coco`` and link or copy its images."""
    category_ids = {c['id']: classes.index(c['name']) + 1 for c in part['categories']}
    coco['info']['sources'][source.name] = part.get('info') or {}
    license_ids = append_licences(coco, part.get('licenses'))
    image_ids = {}
    for image in tqdm(part['images'], desc=f'{source.name}/{split}', unit='image'):
        image_ids[image['id']] = len(coco['images']) + 1
        entry = {**image, 'id': image_ids[image['id']]}
        for field in ('file_name', *_companions(image, source / 'images')):
            target = image_folder / image[field]
            if not target.exists():  # (pages of one stack share it)
                link_or_copy(source / 'images' / image[field], target)
            entry[field] = f'{source.name}/{image[field]}'
        entry['source'] = source.name
        if 'license' in image:
            entry['license'] = license_ids.get(str(image['license']))
        coco['images'].append(entry)
    first = len(coco['annotations']) + 1
    coco['annotations'] += [
        {**a, 'id': i, 'image_id': image_ids[a['image_id']], 'category_id': category_ids[a['category_id']]}
        for i, a in enumerate(part['annotations'], start=first)
    ]


def append_licences(coco: dict, licences: object) -> dict[str, int]:
    """Append licences that are not there yet; the merged id by the source's, as text. Tools write null as well."""
    ids = {}
    for entry in licences if isinstance(licences, list) else ():
        if isinstance(entry, dict):
            plain = {key: value for key, value in entry.items() if key != 'id'}
            known = next((e['id'] for e in coco['licenses'] if {**e, 'id': None} == {**plain, 'id': None}), None)
            if known is None:
                known = len(coco['licenses']) + 1
                coco['licenses'].append({'id': known, **plain})
            if entry.get('id') is not None:
                ids[str(entry['id'])] = known
    return ids


def _companions(image: dict, folder: Path) -> list[str]:
    """Further fields of an image's entry that name files, such as the counts of a picture."""
    return [
        field
        for field, value in image.items()
        if field != 'file_name'
        and isinstance(value, str)
        and Path(value).suffix.lower() in image_suffixes()
        and stays_inside(value)
        and (folder / value).is_file()
    ]
