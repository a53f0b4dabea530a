"""What an image file from a stranger says about itself, before anything of it is decoded."""

import os
from pathlib import Path

from ...datasets.images.files import IMAGE_SUFFIXES
from ...datasets.images.headers import kind_of
from ...datasets.images.image_limits import checked_headers, pixel_limit

MAX_PIXELS = 9_000_000  # of one image: 4096x2160 fits. The masks of 100 detections then take 0.9 GB
_MAX_PAGES = 10_000
_KINDS = ('PNG', 'JPEG', 'BMP', 'TIFF', 'NPY')


def check_image_file(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> None:
    """Refuses files that are no images by ending and content, and those that would fill the memory when decoded.

    Args:
        path: The file.
        max_pixels: Allowed for one image, where ``image_limits`` does not allow less; each page of a stack counts for
            itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has another ending or is no image, or its header tells of too many pixels or pages.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f'image {path}: expected one of {", ".join(IMAGE_SUFFIXES)}, got {suffix!r}')
    if not path.is_file():
        raise FileNotFoundError(f'image not found: {path}; it may have been deleted, upload it again')
    limit = min(max_pixels, pixel_limit())
    with path.open('rb') as file:
        if kind_of(file.read(32)) not in _KINDS:  # by content: the name may be wrong
            raise ValueError(f'cannot read image {path}: damaged, or none of the kinds {", ".join(_KINDS)}')
        file.seek(0)
        for number, _ in enumerate(checked_headers(file, path, limit), start=1):
            if number > _MAX_PAGES:
                raise ValueError(f'image {path}: expected at most {_MAX_PAGES} pages, got more')
