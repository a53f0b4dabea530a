"""Reading, checking, writing, merging and splitting of COCO annotation files.

A data set of this project is a folder with ``annotations/{train,val}.json`` and ``images/``, ``file_name`` being
relative to the latter. Nothing here needs torch.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..fileio import write_text
from .collector import collector_paused
from .validation.annotations import structure_and_boxes
from .validation.masks import as_masks, check_form
from .validation.problem import SHOWN, raise_errors, shown
from .validation.structure import stays_inside

CLASSES = ('human', 'car', 'bicycle', 'uav')
SPLITS = ('train', 'val')


def class_categories() -> list[dict]:
    """The COCO ``categories`` of every data set that this project writes: ids 1 to 4."""
    return [{'id': i, 'name': name} for i, name in enumerate(CLASSES, start=1)]


def read_coco(path: str | Path, masks: bool = False) -> dict:
    """Read a COCO file and check it with ``check_coco``.

    Args:
        path: The file.
        masks: Whether its masks are going to be decoded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON or not a sound COCO file. The message names file and entry.
    """
    coco = read_json(path)
    check_coco(coco, path, masks)
    return coco


def read_json(path: str | Path) -> dict:
    """Read a file that holds one JSON object, such as a COCO file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8 or not JSON, is nested deeper than Python's parser goes, has a key twice in one
            object (programs differ in which they take), or holds something else than an object.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'annotation file not found: {path}')
    try:
        with collector_paused():
            content = json.loads(Path(path).read_text(encoding='utf-8'), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON (cut off, or another format?): {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected a JSON object with images, annotations and categories, got a '
                         f'{type(content).__name__}')  # fmt: skip
    return content


def _unique(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        key = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f'the key {key!r} stands more than once in one object')
    return content


def check_coco(coco: dict, path: str | Path, masks: bool = False) -> None:
    """Check the parts of a COCO dictionary that everything else relies on (``validation`` holds the checks).

    Args:
        coco: The dictionary.
        path: Where it comes from, for the messages.
        masks: Whether to check, too, that masks that are there can be decoded (pycocotools does not).

    Raises:
        ValueError: If a section is missing, there are no images, an id or a file occurs twice, a file name leaves the
            image folder, an annotation refers to an unknown image or category, or a box is not ``[x, y, w, h]`` with
            positive width and height, or a mask that cannot be decoded.
    """
    sound, table, problems = structure_and_boxes(coco)
    if masks and not sound.fatal:
        problems = problems + check_form(table, as_masks(table))
    raise_errors(path, problems)
    if masks:
        remember_checked(path)


_checked: set[tuple] = set()  # annotation files that this process has found sound


def remember_checked(path: str | Path) -> None:
    """Spares evaluation the check of a file that the data set has just read."""
    if os.path.isfile(path):
        _checked.add(_identity(path))


def was_checked(path: str | Path) -> bool:
    """Whether the file, as it is now, has been found sound, masks included."""
    return os.path.isfile(path) and _identity(path) in _checked


def _identity(path: str | Path) -> tuple:
    status = os.stat(path)
    return os.path.realpath(path), status.st_size, status.st_mtime_ns


def refuse(path: str | Path, what: str, entries: list) -> None:
    """Raise ``ValueError`` if there are entries: file, their number, what they are, the first of them."""
    if entries:
        raise ValueError(f'{path}: {len(entries)} {what}: {shown(entries)}')


def check_file_name(name: object, where: str) -> str:
    """Return ``name`` if it is a relative path that stays in its folder, else raise ``ValueError``."""
    if not stays_inside(name):
        raise ValueError(f'{where}: expected a file name inside the image folder, got {name!r}')
    return name


def write_coco(coco: dict, path: str | Path) -> None:
    """Writes a COCO file as a whole or not at all.

    Raises:
        ValueError: If it cannot be written.
    """
    try:
        text = json.dumps(coco, separators=(',', ':'))
    except RecursionError as error:
        raise ValueError(f'{path}: expected a COCO file to write, got one that is nested too deeply') from error
    write_text(path, text)


@contextmanager
def output_folder(out: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes the place of ``out`` when the block ends without an error.

    Raises:
        FileExistsError: If ``out`` is not empty and ``overwrite`` is not set, or if it holds anything but a data set
            (``annotations/`` and ``images/``), which is never deleted.
    """
    out = Path(out).resolve()
    present = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'expected a folder for the output, got the file {out}')
    if present and not overwrite:
        raise FileExistsError(f'output folder {out} is not empty; choose another, or pass --overwrite to replace it')
    if present and not set(present) <= {'annotations', 'images'}:
        raise FileExistsError(
            f'will not overwrite {out}: it holds more than a data set, e.g. '
            f'{[name for name in present if name not in ("annotations", "images")][:SHOWN]}'
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f'.{out.name}.{os.getpid()}.partial')
    old = out.with_name(f'.{out.name}.{os.getpid()}.old')
    try:
        (temporary / 'annotations').mkdir(parents=True)
        (temporary / 'images').mkdir()
        yield temporary
        if out.exists():
            os.replace(out, old)
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def count_instances(coco: dict) -> dict[str, int]:
    """Instances per class name, those with ``iscrowd`` (ignored regions) left out."""
    names = {category['id']: category['name'] for category in coco['categories']}
    counts = Counter(names[a['category_id']] for a in coco['annotations'] if not a.get('iscrowd'))
    return {name: counts[name] for name in names.values()}


def merge_data_sets(out: str | Path, sources: list[str | Path], overwrite: bool = False) -> dict[str, dict]:
    """Merge data sets of this project's layout into one with the project's four classes.

    Ids are numbered anew, categories are mapped by name, and the images of ``SRC`` go to ``images/<name of SRC>/``
    as hard links where the file system allows it, else as copies. Each source's ``info`` and ``licenses`` are kept.

    Args:
        out: Folder of the merged data set.
        sources: Folders with ``annotations/{train,val}.json`` and ``images/``.
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
    merged = {}
    with output_folder(out, overwrite) as folder:
        for split in SPLITS:
            merged[split] = coco = {
                'info': {'description': 'merged from ' + ', '.join(names), 'sources': {}},
                'licenses': [],
                'categories': class_categories(),
                'images': [],
                'annotations': [],
            }
            for source in sources:
                _append_source(coco, files[source, split], source, folder / 'images' / source.name)
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
        entry = {**image, 'id': image_ids[image['id']], 'file_name': f'{source.name}/{image["file_name"]}',
                 'source': source.name}  # fmt: skip
        if 'license' in image:
            entry['license'] = license_ids.get(image['license'])
        coco['images'].append(entry)
    first = len(coco['annotations']) + 1
    coco['annotations'] += [
        {**a, 'id': i, 'image_id': image_ids[a['image_id']], 'category_id': category_ids[a['category_id']]}
        for i, a in enumerate(part['annotations'], start=first)
    ]


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link ``source`` (of a link: what it points to) to ``target``; copy where the file system cannot link."""
    source = source.resolve()
    if not source.is_file():
        raise FileNotFoundError(f'image not found: {source}')
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        if target.exists():
            raise
        shutil.copyfile(source, target)


def split_coco(coco: dict, ratio: float, seed: int, group_by: str | None = None) -> tuple[dict, dict]:
    """Split a COCO dictionary reproducibly into training and validation part, stratified by class.

    Groups (single images without ``group_by``) are taken one by one, those with the most instances first and ties in
    an order drawn from ``seed``; each goes to the part that lacks more of its share of images and of the
    classes it holds. Without ``group_by``, the number of images is exactly ``round(ratio * images)``; with it, single
    groups are then moved as long as that brings the shares nearer to the ratio.

    Args:
        coco: A dictionary that passes ``check_coco``.
        ratio: Share of the training part, between 0 and 1.
        seed: Seed of the order.
        group_by: Field of the images, such as ``clip`` or ``date``. Images of equal value stay together.

    Returns:
        Training and validation dictionary. Ids and all other fields are kept.

    Raises:
        ValueError: If ``ratio`` is not between 0 and 1, an image lacks the field ``group_by``, or there are fewer
            than two groups.
    """
    if not 0 < ratio < 1:
        raise ValueError(f'expected a ratio between 0 and 1, got {ratio}')
    images = coco['images']
    if group_by:
        lacking = [image['id'] for image in images if image.get(group_by) is None]
        refuse('--group-by', f'images lack the field "{group_by}"; image ids', lacking)
    keys = [str(image[group_by]) if group_by else image['id'] for image in images]
    groups = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    if len(groups) < 2:
        raise ValueError(f'expected at least 2 {group_by or "image"}s to split, got {len(groups)}')
    group_of = {image['id']: groups[key] for image, key in zip(images, keys, strict=True)}
    column = {category['id']: i for i, category in enumerate(coco['categories'], start=1)}
    counts = np.zeros((len(groups), len(column) + 1))
    np.add.at(counts, (list(group_of.values()), 0), 1)
    for annotation in coco['annotations']:
        counts[group_of[annotation['image_id']], column[annotation['category_id']]] += 1
    in_train = _assign_groups(counts, ratio, seed, exact=not group_by)

    def part(wanted: bool) -> dict:
        return {
            **coco,
            'images': [image for image in images if in_train[group_of[image['id']]] == wanted],
            'annotations': [a for a in coco['annotations'] if in_train[group_of[a['image_id']]] == wanted],
        }

    return part(True), part(False)


def _assign_groups(counts: np.ndarray, ratio: float, seed: int, exact: bool) -> np.ndarray:
    """Which groups go to training: ``[G]`` bool, from ``counts`` ``[G, 1 + classes]`` of images and instances."""
    share = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-share[order].sum(axis=1), kind='stable')]
    room = np.array([round(ratio * len(counts)), 0])
    room[0] = min(max(room[0], 1), len(counts) - 1)
    room[1] = len(counts) - room[0]
    if not exact:  # only keep both parts from being empty
        room[:] = len(counts) - 1
    wanted = np.array([[ratio], [1 - ratio]])
    filled = np.zeros((2, counts.shape[1]))
    in_train = np.zeros(len(counts), bool)
    for group in order:
        # Going to training is better if training lacks more of what the group holds, relative to its share.
        lack = ((wanted - filled) / wanted) @ share[group]
        side = int(lack[1] > lack[0]) if room.all() else int(room[0] == 0)
        filled[side] += share[group]
        room[side] -= 1
        in_train[group] = side == 0
    if not exact:
        _move_single_groups(in_train, share[:, share.any(axis=0)], ratio)
    return in_train


def _move_single_groups(in_train: np.ndarray, share: np.ndarray, ratio: float) -> None:
    """Change ``in_train`` by one group at a time for as long as that brings the shares nearer to ``ratio``."""
    error = ((share[in_train].sum(axis=0) - ratio) ** 2).sum()
    while True:
        moved = share[in_train].sum(axis=0) + np.where(in_train, -1, 1)[:, None] * share
        errors = ((moved - ratio) ** 2).sum(axis=1)
        for part in (in_train, ~in_train):
            if part.sum() == 1:  # must not become empty
                errors[part] = np.inf
        best = np.argmin(errors)
        if errors[best] >= error - 1e-12:
            return
        error = errors[best]
        in_train[best] ^= True
