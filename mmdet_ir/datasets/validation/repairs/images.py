"""Repairs of a COCO dictionary that its image files tell: names that are spelled otherwise, sizes that are missing."""

import os
from pathlib import Path

from ...images.files import find_images
from ...images.names import match_names
from ..checks.structure import is_size, stays_inside
from ..files import read_picture


def found_names(images: list[dict], folder: str | os.PathLike, key: str) -> dict[str, str]:
    """The files of a folder that names mean of which no file of exactly this name is there, see ``match_names``."""
    files = [path.relative_to(folder).as_posix() for path in find_images(Path(folder))]
    return match_names([image[key] for image in images if isinstance(image.get(key), str)], files)


def repair_from_images(
    coco: dict, folder: str | os.PathLike, key: str = 'file_name', settings: dict | None = None
) -> list[str]:
    """Write the names of files that are there, and sizes where the dictionary has none; it is changed.

    Args:
        coco: Content of a COCO file.
        folder: Where the images are.
        key: Field of the images that names the file.
        settings: Of ``read_infrared``, as ``rjpeg``.

    Returns:
        What was done, a line for each kind.
    """
    images = [image for image in coco['images'] if isinstance(image, dict)]
    done = []
    names = found_names(images, folder, key)
    renamed = [image for image in images if isinstance(image.get(key), str) and image[key] in names]
    for image in renamed:
        image[key] = names[image[key]]
    if renamed:
        done.append(f'{len(renamed)} images: {key} written as their files are named; the first: {renamed[0][key]}')
    sized = []
    for image in images:
        unknown = all(image.get(side) in (None, 0) for side in ('width', 'height'))
        if not unknown or not stays_inside(image.get(key)) or not Path(folder, image[key]).is_file():
            continue
        size = read_picture(Path(folder, image[key]), image.get('page'), settings).size
        if size is not None and all(map(is_size, size)):
            image['width'], image['height'] = size
            sized.append(image.get('id'))
    if sized:
        first = ', '.join(map(str, sized[:5]))
        done.append(f'{len(sized)} images: width and height taken from their files; ids: {first}')
    return done
