"""Image files in folders, and what kind of pixels they hold."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .readers import reader_suffixes
from .values import eight_bit_content

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.npy')
# Folders and files of systems, disks in the network and other programs, in lower case; hidden ones begin with a dot.
_FOREIGN = frozenset(
    (
        '@eadir',
        '#recycle',
        '#snapshot',
        '@recycle',
        '@recently-snapshot',
        '__macosx',
        '$recycle.bin',
        'recycler',
        'system volume information',
        'found.000',
        'lost+found',
        'network trash folder',
        'temporary items',
        'thumbs.db',
        '__pycache__',
    )
)


def is_foreign(name: str) -> bool:
    """Whether a folder or a file of this name belongs to a system or to another program, and holds no data.

    Thumbnails, checkpoints, bins and resource forks: ``.thumbnails``, ``@eaDir``, ``.ipynb_checkpoints``,
    ``$RECYCLE.BIN``, ``.Trash-1000``, ``__MACOSX``, ``._image.png`` and all else that is hidden.
    """
    return name.startswith('.') or name.lower() in _FOREIGN


def find_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files below a folder, sorted by path; the one walker for data.

    Links are followed, since recordings often lie on another disk; each folder is walked once, so that loops of links
    come to an end, and under its own name where this lies below ``folder``, too. What is left out is told in the log:
    files of systems and other programs (``is_foreign``), links to folders that were walked already, and links that
    lead nowhere.

    Args:
        folder: Where to begin; may be a link.
        suffixes: Endings in lower case.
    """
    found, left_out, links, walked = [], Counter(), [folder], set()
    while links:
        start = links.pop(0)
        if os.path.realpath(start) in walked:
            left_out[f'{start} (a link to a folder that is walked already)'] += 1
            continue
        for path, is_data in _walk(start, walked, links, left_out):
            if is_data and path.is_symlink() and not path.exists():  # (a folder or a file, of whatever name)
                left_out[f'{path} (a link that leads nowhere)'] += 1
            elif path.suffix.lower() in suffixes:
                if not is_data:
                    left_out[f'files of other programs, such as {_foreign_part(path, folder)}'] += 1
                elif path.is_file():
                    found.append(path)
    tell_left_out(folder, left_out)
    return sorted(found)


def tell_left_out(folder: object, left_out: Counter) -> None:
    """Tells in the log what a search for files leaves out: reasons with the number of files."""
    programs = [reason for reason in left_out if not reason.endswith(')')]
    lines = [f'{left_out[reason]} {reason}' for reason in programs[:3]] + [r for r in left_out if r.endswith(')')][:3]
    if lines:
        more = len(left_out) - len(lines)
        print_log(f'{folder}: left out: {"; ".join(lines)}' + (f'; and {more} more' if more else ''), 'current')


def _walk(start: Path, walked: set[str], links: list[Path], left_out: Counter) -> Iterator[tuple[Path, bool]]:
    """Files below a folder and whether they may be data; notes the folders walked, and links to folders."""

    def unreadable(error: OSError) -> None:
        left_out[f'{error.filename} (a folder that cannot be read: {error.strerror})'] += 1

    for place, folders, files in os.walk(start, onerror=unreadable):
        walked.add(os.path.realpath(place))
        is_data = not any(is_foreign(part) for part in Path(place).relative_to(start).parts)
        folders.sort()
        if is_data:
            links += [Path(place, name) for name in folders if Path(place, name).is_symlink() and not is_foreign(name)]
        for name in files:
            yield Path(place, name), is_data and not is_foreign(name)


def _foreign_part(path: Path, folder: Path) -> str:
    return next(part for part in path.relative_to(folder).parts if is_foreign(part))


def image_suffixes() -> tuple[str, ...]:
    """Endings of image files, with those that have a reader of their own."""
    return (*IMAGE_SUFFIXES, *reader_suffixes())


def find_images(folder: Path) -> list[Path]:
    """Image files below a folder, see ``find_files``."""
    return find_files(folder, image_suffixes())


def is_eight_bit(image: np.ndarray) -> bool:
    """Whether an image (uint8, uint16 or float32) holds 8-bit levels only, whatever its type."""
    return image.dtype == np.uint8 or (image.dtype == np.uint16 and eight_bit_content(image) is not None)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """``[H, W]`` 8-bit grey levels; other types are stretched between the 0.1 and the 99.9 percentile."""
    if image.ndim == 3:  # colours have 8 bits
        return image.mean(axis=-1).astype(np.uint8)
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, (0.1, 99.9))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)
