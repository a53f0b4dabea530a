"""Labels that were drawn on 8-bit copies become labels of the recordings."""

import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.logging import print_log

from ...datasets.coco_files import add_info, link_or_copy, output_folder, read_coco, write_coco
from ...datasets.coco_split import existing_split, keep_split
from .copies import file_hash, read_manifest


def labels_back(
    labelled: str | os.PathLike,
    copies: str | os.PathLike,
    out: str | os.PathLike,
    source: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> dict[str, dict]:
    """Makes a data set of the recordings from one that was converted from labels of their copies.

    Args:
        labelled: Data set that ``tools/data/convert.py`` made of the labels, with the copies as its images.
        copies: Folder of the copies, or their manifest.
        out: Folder of the new data set; recordings are linked, or copied where that is not possible.
        source: Folder of the recordings, if they lie elsewhere now.
        overwrite: Whether to replace a data set that is in ``out``. A split of ``all.json`` that was made there is
            kept, which the log tells.

    Returns:
        The COCO dictionary of each part.

    Raises:
        FileNotFoundError: If a data set, the manifest or a recording is missing.
        ValueError: If ``out`` is or holds one of the other folders; if an image of the data set is none of the copies,
            or is not the copy that was made: of another size, or with other pixels; a recording has changed since; or
            the split that is in ``out`` cannot be kept.
    """
    labelled, out = Path(labelled), Path(out)
    manifest = read_manifest(copies)
    source = Path(source if source is not None else manifest['source'])
    parts = {path.stem: path for path in sorted((labelled / 'annotations').glob('*.json'))}
    if not parts:
        raise FileNotFoundError(f'{labelled}: expected annotations/*.json of a converted data set, found none')
    done = {}
    recordings = [source / copy['file_name'] for copy in manifest['copies'].values()]
    with output_folder(out, overwrite, [labelled, copies, *recordings]) as folder:
        former = existing_split(out / 'annotations')
        for split, path in parts.items():
            coco = read_coco(path)
            coco['images'] = [
                _lead_back(image, manifest['copies'], labelled / 'images', source, folder / 'images', path)
                for image in coco['images']
            ]
            add_info(coco, labelled_on=manifest['tone_mapping'])
            write_coco(coco, folder / 'annotations' / f'{split}.json')
            done[split] = coco
        if former and (said := keep_split(folder / 'annotations', former)):
            print_log(said, 'current')
    return done


def _lead_back(
    image: dict, copies: Mapping[str, dict], labelled: Path, source: Path, target: Path, path: Path
) -> dict:
    name = image['file_name']
    matches = [copy for copy in copies if copy == name] or [copy for copy in copies if _ends_alike(copy, name)]
    if len(matches) != 1:
        raise ValueError(f'{path}, image {image["id"]}: expected one of the copies in the manifest, got {name!r}')
    copy = copies[matches[0]]
    if (image['width'], image['height']) != (copy['width'], copy['height']):
        raise ValueError(
            f'{path}, image {image["id"]}: expected {copy["width"]}x{copy["height"]} pixels as the copy {matches[0]} '
            f'has, got {image["width"]}x{image["height"]}: it was scaled or cut for labelling'
        )
    if file_hash(labelled / name) != copy['copy_sha256']:
        raise ValueError(f'{labelled / name}: its pixels are not those of the copy that was made; it was changed')
    recording = source / copy['file_name']
    if not recording.is_file():
        raise FileNotFoundError(f'recording not found: {recording}; --source names the folder where they are now')
    if file_hash(recording) != copy['sha256']:
        raise ValueError(f'{recording}: has changed since the copies were made')
    if not (target / copy['file_name']).exists():  # (pages share a file)
        link_or_copy(recording, target / copy['file_name'])
    page = {'page': copy['page']} if 'page' in copy else {}
    return {**image, 'file_name': copy['file_name'], **page}


def _ends_alike(copy: str, name: str) -> bool:
    """Whether a name differs by leading folders only, as tools cut or add them."""
    return copy.endswith(f'/{name}') or name.endswith(f'/{copy}')
