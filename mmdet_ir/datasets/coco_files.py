"""Reading, checking and writing of COCO annotation files.

A data set of this project is a folder with ``annotations/{train,val}.json`` and ``images/``, ``file_name`` being
relative to the latter. ``annotations/dev.json`` may hold a part that was set aside from training for choices, so that
``val.json`` is looked at once. Nothing here needs torch.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..cli.choices import CLASSES
from ..fileio import read_json, write_text
from .validation.annotations import structure_and_boxes
from .validation.checks.masks import as_masks, check_form
from .validation.checks.structure import stays_inside
from .validation.problem import SHOWN, raise_errors, shown

SPLITS = ('train', 'val')
DEV = 'dev'
MADE_BY = {'made_by': 'mmdet_ir'}  # in the info of a data set
_PARTS = {f'{name}.json' for name in (*SPLITS, DEV, 'test', 'all')}  # what tools write to annotations/


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


def lacks_targets(coco: object) -> bool:
    """Whether a COCO file has no section of annotations, as those of test sets without ground truth."""
    return isinstance(coco, dict) and 'annotations' not in coco


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


def add_info(coco: dict, **entries: object) -> None:
    """Adds entries to a COCO dictionary's ``info``; what tools write there may be null or a text."""
    info = coco.get('info')
    if not isinstance(info, dict):
        info = {'description': info} if info else {}
    coco['info'] = {**info, **entries}


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
def output_folder(
    out: str | Path, overwrite: bool = False, sources: Iterable[str | os.PathLike] = ()
) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes the place of ``out`` when the block ends without an error.

    Args:
        out: The folder.
        overwrite: Whether to replace a data set that is in ``out``.
        sources: Files and folders that the output is made of, none of which ``out`` may replace.

    Raises:
        ValueError: If something is in ``out`` and ``out`` is a source, holds a source, or lies in a source.
        FileExistsError: If ``out`` is not empty and ``overwrite`` is not set, or if it holds anything but a data set
            (``annotations/`` with files of the parts, and ``images/`` without labels), which is never deleted.
    """
    out = Path(out).resolve()
    present = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'expected a folder for the output, got the file {out}')
    if present:
        _refuse_sources(out, sources)
    if present and not overwrite:
        raise FileExistsError(f'output folder {out} is not empty; choose another, or pass --overwrite to replace it')
    if present and not set(present) <= {'annotations', 'images'}:
        raise FileExistsError(
            f'will not overwrite {out}: it holds more than a data set, e.g. '
            f'{[name for name in present if name not in ("annotations", "images")][:SHOWN]}'
        )
    others = [path.name for path in sorted(out.glob('annotations/*')) if path.name not in _PARTS]
    if others:
        raise FileExistsError(
            f'will not overwrite {out}: annotations/ holds other files than those of the parts, e.g. '
            f'{others[:SHOWN]}; move them first'
        )
    labels = label_files(out / 'images')
    if labels:
        raise FileExistsError(
            f'will not overwrite {out}: images/ holds labels, perhaps the work of a person, e.g. '
            f'{[str(path.relative_to(out)) for path in labels[:SHOWN]]}; move them first'
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


def _refuse_sources(out: Path, sources: Iterable[str | os.PathLike]) -> None:
    """Raise ``ValueError`` if a source would be deleted or changed by replacing ``out``, which is resolved."""
    for source in sources:
        place = Path(os.path.abspath(source))
        resolved = place.resolve()
        # (the source may be reached through a link that lies in the output folder)
        above = {folder.resolve() for folder in place.parents} | set(resolved.parents)
        if resolved == out:
            raise ValueError(f'{out} is one of the sources; expected another output folder')
        if out in above:
            raise ValueError(f'{out} holds the source {source}; expected another output folder')
        if resolved in out.parents:
            raise ValueError(
                f'{out} lies in the source {source}, and would be read as a part of it; expected a folder outside of '
                f'the source (if it is an earlier output, it may be deleted first)'
            )


def label_files(images: Path) -> list[Path]:
    """Files beside images that labelling tools write; what makes data sets puts none there."""
    suffixes = ('.json', '.txt', '.xml')
    return [path for path in sorted(images.glob('**/*')) if path.suffix.lower() in suffixes and path.is_file()]


def is_data_set(folder: Path) -> bool:
    """Whether a folder is a data set that this package converted or merged."""
    parts = [folder / 'annotations' / name for name in sorted(_PARTS)] if (folder / 'images').is_dir() else []
    for path in (path for path in parts if path.is_file()):
        try:
            info = read_json(path).get('info')
        except ValueError:
            continue
        if isinstance(info, dict) and info.items() >= MADE_BY.items():
            return True
    return False


def count_instances(coco: dict) -> dict[str, int]:
    """Instances per class name, those with ``iscrowd`` (ignored regions) left out."""
    names = {category['id']: category['name'] for category in coco['categories']}
    counts = Counter(names[a['category_id']] for a in coco['annotations'] if not a.get('iscrowd'))
    return {name: counts[name] for name in names.values()}


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
