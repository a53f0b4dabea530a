"""Merging of data sets of this project's layout."""

from collections import Counter
from pathlib import Path

from tqdm import tqdm

from .coco_files import (
    CLASSES,
    DEV,
    SPLITS,
    class_categories,
    link_or_copy,
    output_folder,
    read_coco,
    refuse,
    write_coco,
)


def merge_data_sets(out: str | Path, sources: list[str | Path], overwrite: bool = False) -> dict[str, dict]:
    """Merge data sets of this project's layout into one with the project's four classes.

    Ids are numbered anew, categories are mapped by name, and the images of ``SRC`` go to ``images/<name of SRC>/``
    as hard links where the file system allows it, else as copies. Each source's ``info`` and ``licenses`` are kept.

    Args:
        out: Folder of the merged data set.
        sources: Folders with ``annotations/{train,val}.json`` and ``images/``. What has ``dev.json`` makes up the
            part ``dev`` of the merged data set.
        overwrite: Whether to replace a data set that is in ``out``.

    Returns:
        The merged COCO dictionary of each split.

    Raises:
        FileNotFoundError: If a source lacks a split or an image.
        ValueError: If two sources share a folder name, or a category is not one of ``CLASSES``.
    """
    sources = [Path(source).resolve() for source in sources]
    names = [source.name for source in sources]
    refuse(out, 'sources share a folder name', [name for name, n in Counter(names).items() if n > 1])
    if any(source == Path(out).resolve() for source in sources):
        raise ValueError(f'{out} is one of the sources; expected another output folder')
    files = {(s, split): s / 'annotations' / f'{split}.json' for split in SPLITS for s in sources}
    set_aside = {(s, DEV): s / 'annotations' / f'{DEV}.json' for s in sources}
    files |= {key: path for key, path in set_aside.items() if path.is_file()}
    merged = {}
    with output_folder(out, overwrite) as folder:
        for split in dict.fromkeys(split for _, split in files):
            merged[split] = coco = {
                'info': {'description': 'merged from ' + ', '.join(names), 'sources': {}},
                'licenses': [],
                'categories': class_categories(),
                'images': [],
                'annotations': [],
            }
            for (source, part), path in files.items():
                if part == split:
                    _append_source(coco, path, source, folder / 'images' / source.name)
            write_coco(coco, folder / 'annotations' / f'{split}.json')
    return merged


def _append_source(coco: dict, path: Path, source: Path, image_folder: Path) -> None:
    """Append one source's split to ``coco`` and link or copy its images."""
    part = read_coco(path)
    unknown = [c['name'] for c in part['categories'] if c['name'] not in CLASSES]
    refuse(path, f'categories that are none of {", ".join(CLASSES)}', unknown)
    category_ids = {c['id']: CLASSES.index(c['name']) + 1 for c in part['categories']}
    coco['info']['sources'][source.name] = part.get('info', {})
    license_ids = {}
    for entry in part.get('licenses', []):
        plain = {key: value for key, value in entry.items() if key != 'id'}
        known = next((e['id'] for e in coco['licenses'] if {**e, 'id': None} == {**plain, 'id': None}), None)
        if known is None:
            known = len(coco['licenses']) + 1
            coco['licenses'].append({'id': known, **plain})
        license_ids[entry.get('id')] = known
    image_ids = {}
    for image in tqdm(part['images'], desc=f'{source.name}/{path.stem}', unit='image'):
        image_ids[image['id']] = len(coco['images']) + 1
        link_or_copy(source / 'images' / image['file_name'], image_folder / image['file_name'])
        entry = {
            **image,
            'id': image_ids[image['id']],
            'file_name': f'{source.name}/{image["file_name"]}',
            'source': source.name,
        }
        if 'license' in image:
            entry['license'] = license_ids.get(image['license'])
        coco['images'].append(entry)
    first = len(coco['annotations']) + 1
    coco['annotations'] += [
        {**a, 'id': i, 'image_id': image_ids[a['image_id']], 'category_id': category_ids[a['category_id']]}
        for i, a in enumerate(part['annotations'], start=first)
    ]
