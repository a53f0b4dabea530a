"""What an image file from a stranger says about itself, before anything of it is decoded."""

import os
from pathlib import Path

from ...datasets.images.files import IMAGE_SUFFIXES
from ...datasets.images.image_limits import check_size, image_sizes, pixel_limit

MAX_PIXELS = 9_000_000  # of one image: 4096x2160 fits. The masks of 100 detections then take 0.9 GB
_MAX_PAGES = 10_000
_KINDS = {
    b'\x89PNG': ('.png',),
    b'\xff\xd8\xff': ('.jpg', '.jpeg'),
    b'BM': ('.bmp',),
    b'\x93NUMPY': ('.npy',),
    b'II*\0': ('.tif', '.tiff'),
    b'MM\0*': ('.tif', '.tiff'),
    b'II+\0': ('.tif', '.tiff'),
    b'MM\0+': ('.tif', '.tiff'),
}


def check_image_file(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> None:
    """Refuses files that are no images by ending and content, and those that would fill the memory when decoded.

    Args:
        path: The file.
        max_pixels: Allowed for one image, where ``image_limits`` does not allow less; each page of a stack counts for
            itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not what its ending says, or its header tells of too many pixels or pages.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f'image {path}: expected one of {", ".join(IMAGE_SUFFIXES)}, got {suffix!r}')
    if not path.is_file():
        raise FileNotFoundError(f'image not found: {path}; it may have been deleted, upload it again')
    limit = min(max_pixels, pixel_limit())
    with path.open('rb') as file:
        head = file.read(8)
        file.seek(0)
        if not any(head.startswith(start) and suffix in suffixes for start, suffixes in _KINDS.items()):
            raise ValueError(f'cannot read image {path}: damaged, or not an image of the kind {suffix}')
        for number, (width, height) in enumerate(image_sizes(file, path), start=1):
            if number > _MAX_PAGES:
                raise ValueError(f'image {path}: expected at most {_MAX_PAGES} pages, got more')
            check_size(width, height, path, limit)
