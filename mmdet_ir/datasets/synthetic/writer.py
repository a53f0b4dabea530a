"""Write synthetic scenes as a COCO data set, in parallel, whole or not at all; draw contact sheets."""

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from ...cli.choices import CLASSES
from ...fileio import whole_file
from .scene import MIN_PIXELS, MIN_VISIBLE, Scene, check_size, generate_scene

VERSION = 1  # of the generator's output: raise it when the same seed gives other pixels
_SPLITS = ('train', 'val')
_COLORS = ((70, 60, 230), (250, 160, 60), (110, 210, 90), (50, 190, 250))  # BGR, IRDataset's palette


def scene_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The generator of one scene of a data set; independent of the number of scenes and workers."""
    return np.random.default_rng(np.random.SeedSequence([seed, _SPLITS.index(split), index]))


def encode_instances(scene: Scene) -> list[dict]:
    """COCO annotations (without ids) of a scene: exact visible masks as compressed RLE."""
    instances = []
    for mask, label, occlusion in zip(scene.masks, scene.labels, scene.meta['occlusion'], strict=True):
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        instances.append(
            {
                'category_id': int(label) + 1,
                'segmentation': {'size': [int(n) for n in rle['size']], 'counts': rle['counts'].decode('ascii')},
                'bbox': [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
                'area': int(mask.sum()),
                'iscrowd': 0,
                'occlusion': occlusion,
            }
        )
    return instances


def _write_png(path: Path, image: np.ndarray) -> None:
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 3]):
        raise OSError(f'{path}: OpenCV could not write the image')


def _write_scene(job: tuple[str, int], root: Path, size: tuple[int, int], seed: int, counts: bool) -> tuple:
    split, index = job
    scene = generate_scene(scene_rng(seed, split, index), size)
    name = f'{index + 1:06d}.png'
    _write_png(root / 'images' / split / name, scene.image8)
    image = {'id': index + 1, 'file_name': f'{split}/{name}', 'width': size[0], 'height': size[1]}
    image |= {'scene': scene.meta['scene'], 'polarity': scene.meta['polarity']}
    if counts:
        _write_png(root / 'images' / f'{split}16' / name, scene.counts)
        image['counts_file'] = f'{split}16/{name}'
    return image, encode_instances(scene)


def _init_worker() -> None:
    cv2.setNumThreads(0)


def _map(work, jobs: list, workers: int) -> Iterator:
    if workers == 1:
        yield from map(work, jobs)
        return
    method = 'fork' if sys.platform == 'linux' else 'spawn'
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_init_worker) as pool:
        yield from pool.map(work, jobs, chunksize=4)


def _record(parameters: dict) -> str:
    return json.dumps(parameters, indent=2) + '\n'


def _prepare(out: Path, parameters: dict, overwrite: bool) -> bool:
    """Whether the data set has to be made; raises FileExistsError where that would destroy something."""
    if not out.exists():
        return True
    if not out.is_dir():
        raise FileExistsError(f'{out}: expected a folder to write the data set to, got a file')
    record = out / 'synthetic.json'
    if record.is_file() and record.read_text() == _record(parameters):
        return False
    own = {record, out / 'images', out / 'annotations', *(out / 'annotations' / f'{split}.json' for split in _SPLITS)}
    others = [path for path in sorted((*out.iterdir(), *out.glob('annotations/*'))) if path not in own]
    others = others or ([] if record.is_file() else sorted(out.iterdir()))
    if others:  # (never deleted)
        raise FileExistsError(f'{out}: holds other files, such as {others[0]}; choose another folder')
    if record.is_file() and not overwrite:
        raise FileExistsError(
            f'{out}: holds a synthetic data set with other settings; choose another folder or pass overwrite '
            f'(--overwrite)'
        )
    return True


def synthesize(
    out: str | os.PathLike,
    num_train: int,
    num_val: int,
    size: tuple[int, int] = (320, 256),
    seed: int = 0,
    workers: int | None = None,
    *,
    counts: bool = True,
    overwrite: bool = False,
) -> bool:
    """Write a data set of synthetic scenes.

    ``out`` gets ``annotations/{train,val}.json`` (COCO), ``images/{train,val}/NNNNNN.png`` (8 bits),
    ``images/{train16,val16}/NNNNNN.png`` (14-bit counts in 16 bits) and ``synthetic.json`` (the settings). It is
    written beside ``out`` and renamed at the end. The bytes depend on the settings only, not on ``workers``.

    Args:
        out: folder of the data set.
        num_train, num_val: number of scenes.
        size: width and height in pixels.
        seed: of all randomness.
        workers: processes; by default one a core.
        counts: also write the 14-bit counts.
        overwrite: replace a synthetic data set that is in ``out``; other files are never deleted.

    Returns:
        False if ``out`` already held this very data set, so that nothing had to be done.

    Raises:
        ValueError: a number or size is out of range.
        FileExistsError: ``out`` holds other settings and ``overwrite`` is off, or anything but such a data set.

    Example:
        >>> from mmdet_ir.datasets.synthetic import synthesize
        >>> synthesize('scenes', num_train=2, num_val=1, size=(64, 64), workers=1)
        True
        >>> synthesize('scenes', num_train=2, num_val=1, size=(64, 64), workers=1)  # is there already
        False
    """
    size = check_size(size)
    for name, number, least in (('num_train', num_train, 1), ('num_val', num_val, 1), ('seed', seed, 0)):
        if number < least:
            raise ValueError(f'{name}: expected at least {least}, got {number}')
    workers = os.cpu_count() or 1 if workers is None else workers
    if workers < 1:
        raise ValueError(f'workers: expected at least 1, got {workers}')
    out = Path(out).resolve()
    parameters = {'generator': 'mmdet_ir.datasets.synthetic', 'version': VERSION, 'num_train': num_train}
    parameters |= {'num_val': num_val, 'size': list(size), 'seed': seed, 'counts': counts}
    if not _prepare(out, parameters, overwrite):
        return False

    out.parent.mkdir(parents=True, exist_ok=True)
    new, old = (out.with_name(f'.{out.name}.{os.getpid()}.{what}') for what in ('new', 'old'))
    try:
        _write(new, parameters, workers)
        if out.exists():
            os.replace(out, old)
        os.replace(new, out)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return True


def _write(root: Path, parameters: dict, workers: int) -> None:
    size, seed, counts = tuple(parameters['size']), parameters['seed'], parameters['counts']
    for folder in ('annotations', *(f'images/{s}{d}' for s in _SPLITS for d in ('', '16')[: 1 + counts])):
        (root / folder).mkdir(parents=True)
    numbers = dict(zip(_SPLITS, (parameters['num_train'], parameters['num_val']), strict=True))
    jobs = [(split, index) for split in _SPLITS for index in range(numbers[split])]
    work = partial(_write_scene, root=root, size=size, seed=seed, counts=counts)
    results = tqdm(_map(work, jobs, workers), total=len(jobs), desc='synthetic scenes', unit='scene')
    sets = {split: {'images': [], 'annotations': []} for split in _SPLITS}
    for (split, _), (image, instances) in zip(jobs, results, strict=True):
        coco = sets[split]
        coco['images'].append(image)
        for instance in instances:
            coco['annotations'].append({'id': len(coco['annotations']) + 1, 'image_id': image['id'], **instance})
    categories = [{'id': i + 1, 'name': name} for i, name in enumerate(CLASSES)]
    rules = f'targets with under {MIN_PIXELS} visible pixels or under {MIN_VISIBLE:.0%} visible are not annotated'
    for split, coco in sets.items():
        info = {'description': f'synthetic infrared scenes, exact visible masks; {rules}', **parameters}
        text = json.dumps({'info': info, 'categories': categories, **coco})
        (root / 'annotations' / f'{split}.json').write_text(text)
    (root / 'synthetic.json').write_text(_record(parameters))


def draw_contours(scene: Scene) -> np.ndarray:
    """The 8-bit rendering with the outline of each mask in its class's colour, BGR uint8 [H, W, 3]."""
    canvas = cv2.cvtColor(scene.image8, cv2.COLOR_GRAY2BGR)
    for mask, label in zip(scene.masks, scene.labels, strict=True):
        grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        canvas[grown & ~mask] = _COLORS[label]
    return canvas


def contact_sheet(
    path: str | os.PathLike, rows: int = 6, pairs: int = 2, size: tuple[int, int] = (320, 256), seed: int = 0
) -> None:
    """Draw ``rows`` x ``pairs`` scenes of the training split, each beside itself with the masks' outlines.

    Raises:
        ValueError: The ending is another one, or the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from mmdet_ir.datasets.synthetic import contact_sheet
        >>> contact_sheet('sheet.png', rows=1, pairs=1, size=(64, 64))
        >>> Path('sheet.png').is_file()
        True
    """
    path = Path(path)
    if path.suffix.lower() not in ('.jpg', '.jpeg', '.png'):
        raise ValueError(f'{path}: expected a name that ends in .jpg or .png')
    cells = []
    for index in range(rows * pairs):
        scene = generate_scene(scene_rng(seed, 'train', index), size)
        plain = cv2.cvtColor(scene.image8, cv2.COLOR_GRAY2BGR)
        plain = cv2.copyMakeBorder(plain, 0, 0, 0, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        cells.append(np.hstack([plain, draw_contours(scene)]))
    framed = [cv2.copyMakeBorder(cell, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for cell in cells]
    sheet = np.vstack([np.hstack(framed[i : i + pairs]) for i in range(0, len(framed), pairs)])
    options = [] if path.suffix.lower() == '.png' else [cv2.IMWRITE_JPEG_QUALITY, 80]
    _, content = cv2.imencode(path.suffix, sheet, options)
    with whole_file(path) as file:
        file.write(content)
