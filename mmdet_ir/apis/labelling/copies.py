"""Tone-mapped 8-bit copies of deep recordings, and the manifest that leads back from the copies to the recordings."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...cli import Skipped, reading
from ...datasets.images.files import find_images, tell_left_out
from ...datasets.images.infrared_io import count_pages, read_infrared
from ...datasets.images.values import depth_of, require_one_depth, to_single_channel
from ...datasets.transforms.tone_mapping import check_depth, tone_map
from ...fileio import read_json, write_text
from ...visualization.overlay import write_picture

MANIFEST = 'manifest.json'
_PERCENTILES = (0.5, 99.7)
_REMEDY = '--method percentile stretches each image by itself; or use a folder of its own for each depth'
_PIXELS, _SAMPLED = 4096, 200  # pixels of an image, and images, that the common window is measured on


def make_copies(
    source: str | os.PathLike,
    out: str | os.PathLike,
    method: str = 'window',
    settings: dict | None = None,
    overwrite: bool = False,
    skipped: Skipped | None = None,
) -> dict:
    """Writes an 8-bit PNG for each image, and each page of a stack, of a folder.

    Args:
        source: Folder of recordings, read with its sub-folders, but for those that hold copies.
        out: Folder of the copies, which get the names of their recordings; a page adds its number.
        method: Of ``ToneMapping``. ``'window'`` without settings takes one window for all images, measured on them, so
            that equal counts have equal grey levels in all copies.
        settings: Of the method.
        overwrite: Whether copies and a manifest that are there may be replaced.
        skipped: Gets the recordings that cannot be read; without it the first of them is an error.

    Returns:
        The manifest, which is also written to ``OUT/manifest.json``: the tone mapping, and for each copy its
        recording, page, size, and the SHA-256 of the recording and of the copy.

    Raises:
        FileNotFoundError: If there is no such folder.
        FileExistsError: If ``out`` is not empty and ``overwrite`` is not set.
        ValueError: If ``out`` is or holds ``source``, there are no images, two recordings would get one copy, an
            image cannot be read, or ``'window'`` is to suit images of different depths; nothing is written then.

    Example:
        >>> from pathlib import Path
        >>> from mmdet_ir.apis.labelling import make_copies
        >>> manifest = make_copies('images', 'copies')
        >>> sorted(path.name for path in Path('copies').iterdir())
        ['0.png', '1.png', '2.png', 'manifest.json']
    """
    source, out = Path(source), Path(out)
    if not source.is_dir():
        raise FileNotFoundError(f'{source}: expected a folder of recordings, found none')
    if source.resolve().is_relative_to(out.resolve()):
        raise ValueError(f'{out} is or holds the folder of the recordings; expected another folder for the copies')
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise FileExistsError(f'output folder {out} is not empty; choose another, or pass --overwrite')
    files = _recordings(source, out)
    if not files:
        raise ValueError(f'{source}: expected images, found none')
    images = []
    for path in files:
        with reading(skipped, path):
            images += [(path, page) for page in _pages(path)]
    names = {}
    for path, page in images:
        name = copy_name(path.relative_to(source), page)
        if name in names:
            raise ValueError(f'{path}: its copy {name} would replace that of {names[name]}; rename one of them')
        names[name] = path
    settings = settings or {}
    if method == 'window':
        values = _look(images, skipped)
        settings = settings or _window(values)
    copies = {}
    for (path, page), name in tqdm(list(zip(images, names, strict=True)), desc='copies', unit='image'):
        levels = None
        with reading(skipped, path):
            pixels = to_single_channel(read_infrared(path, page=page), path)
            levels = tone_map(pixels, method, **settings)
            check_depth(pixels.dtype, method, settings)
        if levels is None:
            continue
        write_picture(out / name, np.repeat(levels[..., None], 3, axis=-1))
        copies[name] = {
            'file_name': path.relative_to(source).as_posix(),
            **({} if page is None else {'page': page}),
            'width': levels.shape[1],
            'height': levels.shape[0],
            'sha256': file_hash(path),
            'copy_sha256': file_hash(out / name),
        }
    if skipped is not None:
        skipped.require_some(copies)
    manifest = {
        'source': str(source),
        'tone_mapping': {'method': method, **settings},
        'copies': copies,
    }
    write_text(out / MANIFEST, json.dumps(manifest, indent=1) + '\n')
    return manifest


def _recordings(source: Path, out: Path) -> list[Path]:
    """The images below a folder, without ``out`` and other folders of copies, which the log names."""
    files = [path for path in find_images(source) if not path.resolve().is_relative_to(out.resolve())]
    folders = {folder for path in files for folder in path.parents if folder.is_relative_to(source)}
    copies = {folder for folder in folders if folder != source and _is_copies(folder)}
    tell_left_out(source, Counter({f'{folder} (copies that were made earlier)': 1 for folder in sorted(copies)}))
    return [path for path in files if not copies.intersection(path.parents)]


def _is_copies(folder: Path) -> bool:
    try:
        return bool(read_manifest(folder))
    except (FileNotFoundError, ValueError):
        return False


def read_manifest(path: str | os.PathLike) -> dict:
    """A manifest of :func:`make_copies`, from its file or folder.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is another one.
    """
    path = Path(path) / MANIFEST if Path(path).is_dir() else Path(path)
    manifest = read_json(path)
    if not isinstance(manifest.get('copies'), dict) or not {'source', 'tone_mapping'} <= manifest.keys():
        raise ValueError(f'{path}: expected a manifest of tools/data/label.py copies, got another file')
    return manifest


def copy_name(name: Path, page: int | None) -> str:
    """Name of the copy of an image.

    Example:
        >>> copy_name(Path('day1/rec.tiff'), 3)
        'day1/rec_00003.png'
    """
    stem = name.stem if page is None else f'{name.stem}_{page:05d}'
    return name.with_name(f'{stem}.png').as_posix()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest() if hasattr(hashlib, 'file_digest') else _hash(file)


def _hash(file: Iterable[bytes]) -> str:
    digest = hashlib.sha256()  # (Python 3.10)
    for part in file:
        digest.update(part)
    return digest.hexdigest()


def _pages(path: Path) -> list[int | None]:
    number = count_pages(path)
    return [None] if number == 1 else list(range(number))


def _look(images: list[tuple[Path, int | None]], skipped: Skipped | None) -> np.ndarray:
    """Values of all images, drawn at random. All images are read, as they have to be of one depth."""
    rng, drawn, depths = np.random.default_rng(0), [], {}
    chosen = set(rng.permutation(len(images))[:_SAMPLED].tolist())
    for i, (path, page) in enumerate(tqdm(images, desc='window', unit='image')):
        with reading(skipped, path):
            values = to_single_channel(read_infrared(path, page=page), path).ravel()
            depths.setdefault(depth_of(values), path)
            if i in chosen:
                drawn.append(values[rng.integers(0, values.size, _PIXELS)].astype(np.float64))
        require_one_depth(depths, _REMEDY)
    if skipped is not None:
        skipped.require_some(drawn)
    return np.concatenate(drawn)


def _window(values: np.ndarray) -> dict[str, float]:
    low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
    if not low < high:
        raise ValueError(f'expected images with contrast, got the value {low:g} nearly everywhere')
    return {'low': low, 'high': high}
