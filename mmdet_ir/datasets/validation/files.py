"""Image files: whether they are there, readable, of the right size, and what is in them."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..images.files import find_images, is_foreign
from ..images.image_limits import ImageTooLargeError
from ..images.infrared_io import read_with_header
from ..images.names import match_names
from ..images.opencv_log import opencv_silenced
from ..images.values import SwappedBytesError, eight_bit_content
from .checks.structure import Sound, stays_inside
from .near_duplicates import thumbnail
from .problem import SHOWN, Problem, listed


@dataclass
class Picture:
    """What was found out about one image file.

    Attributes:
        fault: Code of what is wrong with it, or nothing.
        detail: In words.
        size: Width and height in pixels; None if unknown.
        depth: Name of the dtype.
        orientation: EXIF's number, which has turned the image; 1 for upright.
        constant: Whether all pixels are equal.
        thumbnail: See ``near_duplicates.thumbnail``; None if it could not be read.
    """

    fault: str = ''
    detail: str = ''
    size: tuple[int, int] | None = None
    depth: str = ''
    orientation: int = 1
    constant: bool = False
    thumbnail: np.ndarray | None = None


def missing_images(images: Sequence[dict], folder: str | os.PathLike, key: str = 'file_name') -> list[Problem]:
    """Compare file names with listings of the local folders, without opening files."""
    names = {image[key]: image['id'] for image in images if stays_inside(image.get(key))}
    paths = {name: Path(folder, name) for name in names}
    listings = {parent: _list_folder(parent) for parent in {path.parent for path in paths.values()}}
    missing = [name for name, path in paths.items() if path.name not in listings[path.parent]]
    if not missing:
        return []
    first = ', '.join(str(paths[name]) for name in missing[:3])
    text = (
        f'{len(missing)} of {len(paths)} images not found, the first of them {first}; images are looked for in '
        f'{folder} (data_root and data_prefix)'
    )
    files = [path.relative_to(folder).as_posix() for path in find_images(Path(folder))]
    found = match_names(names, files)
    others = {name: found[name] for name in missing if name in found}
    if others:
        name = next(iter(others))
        text += f'; {len(others)} of them are there under another spelling, such as {name!r} as {others[name]}'
    remedy = 'correct the folder or the file names, or fetch the files'
    return [Problem('image-missing', 'error', text, remedy, tuple(missing), 'file', bool(others))]


def _list_folder(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()


def unlisted_images(names: Sequence[str], folder: str | os.PathLike) -> list[Problem]:
    """Image files in the folders of the listed ones that are not among them."""
    known = set(names)
    suffixes = {Path(name).suffix for name in known}
    found = []
    for parent in sorted({str(Path(name).parent) for name in known}):
        for name in sorted(_list_folder(Path(folder, parent))):
            path = name if parent == '.' else f'{parent}/{name}'
            if Path(name).suffix in suffixes and path not in known and not is_foreign(name):
                found.append(path)
    return listed(
        'image-unlisted',
        'note',
        f'image files in {folder} that no file names',
        found,
        'file',
        'nothing, if they belong to another split',
    )


def read_pictures(
    images: Sequence[dict],
    folder: str | os.PathLike,
    key: str = 'file_name',
    workers: int | None = None,
    progress: str = '',
    settings: dict | None = None,
) -> list[Picture | None]:
    """Read all image files, in parallel threads.

    Args:
        images: Entries of the COCO file.
        folder: Where the files are.
        key: Field of the file name.
        workers: Threads; the default is the number of processors.
        progress: Label of a progress bar; none without it.
        settings: Of ``read_infrared``, as ``rjpeg``.

    Returns:
        For each entry what was found; None where there is no such file.
    """
    jobs = [
        (Path(folder, image[key]), image.get('page'), settings) if stays_inside(image.get(key)) else None
        for image in images
    ]
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    with warnings.catch_warnings(), opencv_silenced(), ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter('ignore')  # Pillow's, on damaged headers
        found = pool.map(lambda job: None if job is None or not job[0].is_file() else read_picture(*job), jobs)
        return list(tqdm(found, total=len(jobs), desc=progress, unit='image', disable=not progress))


def read_picture(path: Path, page: int | None = None, settings: dict | None = None) -> Picture:
    """Read one image file as training does (``read_infrared``, with its ``settings``)."""
    try:
        image, header = read_with_header(path, page=page, **(settings or {}))
    except ImageTooLargeError as error:
        return Picture('image-too-large', str(error))
    except SwappedBytesError as error:
        return Picture('image-bytes-swapped', str(error))
    except (ValueError, OSError, cv2.error) as error:
        text = str(error)
        fault = 'image-not-finite' if 'NaN' in text else 'image-unreadable'
        return Picture(fault, text)
    found = Picture(size=(image.shape[1], image.shape[0]), depth=image.dtype.name, orientation=header.orientation)
    found.constant = bool(image.min() == image.max())
    found.thumbnail = thumbnail(image)
    if image.dtype == np.uint16 and not found.constant and (reason := eight_bit_content(image)):
        found.fault, found.detail = 'image-eight-bit', f'{path}: {reason}'
    return found


_FAULTS = {
    'image-too-large': (
        'error',
        'image files with more pixels than allowed, not decoded',
        'take them out; a file that is small on disk may be made to fill the memory',
    ),
    'image-unreadable': ('error', 'image files that cannot be read', 'fetch or export them anew'),
    'image-not-finite': (
        'error',
        'image files with NaN or infinity',
        'replace dead pixels by the mean of their neighbours when exporting',
    ),
    'image-bytes-swapped': (
        'error',
        '16-bit image files whose bytes have changed places',
        'swap them: cv2.imwrite(path, cv2.imread(path, -1).byteswap())',
    ),
    'image-eight-bit': (
        'warning',
        '16-bit image files with 8-bit content',
        'export the counts of the sensor; what was reduced to 8 bits cannot be restored',
    ),
}


def check_pictures(sound: Sound, pictures: Sequence[Picture | None]) -> list[Problem]:
    """What ``read_pictures`` found, against the entries of the file."""
    problems = []
    for code, (severity, what, remedy) in _FAULTS.items():
        at_fault = [(image, p) for image, p in zip(sound.images, pictures, strict=True) if p and p.fault == code]
        if at_fault:
            more = f' and {len(at_fault) - SHOWN} more' if len(at_fault) > SHOWN else ''
            text = f'{len(at_fault)} {what}: {"; ".join(p.detail for _, p in at_fault[:SHOWN])}{more}'
            names = tuple(image['file_name'] for image, _ in at_fault)
            problems.append(Problem(code, severity, text, remedy, names, 'file'))
    read = [(image, p) for image, p in zip(sound.images, pictures, strict=True) if p and p.size]
    wrong = [(image, p.size) for image, p in read if p.size != (image['width'], image['height'])]
    if wrong:
        image, size = wrong[0]
        turned = sum(size == (image['height'], image['width']) for image, size in wrong)
        text = (
            f'{len(wrong)} images of another size than the file says, the first of them image id {image["id"]} '
            f'({image["file_name"]}): expected {image["width"]}x{image["height"]}, got '
            f'{size[0]}x{size[1]}'
        )
        text += f'; width and height are exchanged in {turned}' if turned else ''
        if by_exif := sum(p.orientation > 4 for image, p in read if p.size != (image['width'], image['height'])):
            text += f', of which {by_exif} have an EXIF orientation that turns them upright'
        remedy = 'correct width and height if boxes and masks are in pixels of the file, else scale them as well'
        if by_exif:
            remedy += (
                '; where they are of the picture as stored, take the orientation out: exiftool -Orientation= FILE'
            )
        ids = tuple(image['id'] for image, _ in wrong)
        problems.append(Problem('size-mismatch', 'error', text, remedy, ids, 'image'))
    # (where the orientation exchanges the sides, the sizes above tell which picture the annotations are of)
    unsure = [
        (i['file_name'], p) for i, p in read if p.orientation > 1 and (p.orientation < 5 or len(set(p.size)) < 2)
    ]
    if unsure:
        numbers = dict(Counter(p.orientation for _, p in unsure))
        problems += listed(
            'image-orientation',
            'warning',
            f'image files with an EXIF orientation (number: files) {numbers}, which turns them upright when they are '
            f'loaded; their sizes do not tell whether boxes and masks are of the upright picture, as they have to be',
            [name for name, _ in unsure],
            'file',
            'look at them with tools/data/browse.py; where boxes are off, take it out: exiftool -Orientation= FILE',
        )
    problems += listed(
        'image-constant',
        'warning',
        'image files without any contrast (all pixels equal)',
        [image['file_name'] for image, p in read if p.constant],
        'file',
        'look at them: a closed shutter, or a failed export?',
    )
    depths = Counter(p.depth for _, p in read)
    if len(depths) > 1:
        text = f'image files of different depth: {dict(depths)}'
        remedy = 'one depth for one data set: tone mapping treats counts and 8-bit pictures differently'
        rare = min(depths, key=depths.get)
        names = tuple(image['file_name'] for image, p in read if p.depth == rare)
        problems.append(Problem('image-depths', 'warning', text, remedy, names, 'file'))
    return problems
