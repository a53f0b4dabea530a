"""How large an image may be, told from its header before anything of it is decoded: one limit for all readers."""

import io
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import cv2
from PIL import Image

from .headers import ImageHeader, read_headers

MAX_PIXELS = 64_000_000  # of one image; infrared detectors have 5 million at most
LIMIT_VARIABLE = 'MMDET_IR_MAX_PIXELS'  # the one place to raise it, also for worker processes


class ImageTooLargeError(ValueError):
    """An image file that says it has more pixels than allowed."""


def pixel_limit() -> int:
    """Pixels that an image may have: ``MAX_PIXELS``, or what the environment variable ``MMDET_IR_MAX_PIXELS`` says.

    Raises:
        ValueError: If the variable is no whole number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, '')
    if text and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f'{LIMIT_VARIABLE}: expected a number of pixels above 0, got {text!r}')
    return int(text) if text else MAX_PIXELS


def check_size(width: int, height: int, name: object, limit: int | None = None) -> None:
    """Refuses images, frames and masks above the limit.

    Raises:
        ImageTooLargeError: If width times height is above ``limit``, by default ``pixel_limit()``.
    """
    allowed = pixel_limit() if limit is None else limit
    if width * height > allowed:
        hint = (
            f' (a small file can be made to fill the memory; {LIMIT_VARIABLE}=... allows more)'
            if limit is None
            else ''
        )
        raise ImageTooLargeError(
            f'image {name}: expected at most {allowed} pixels, got {width}x{height}, which is not decoded{hint}'
        )


def checked_headers(
    file: BinaryIO, name: object, limit: int | None = None, first: int = 0, last: int | None = None
) -> Iterator[ImageHeader]:
    """Headers of images in a file, each refused if it is larger than the limit.

    Images of more than 8 bytes a pixel count with more pixels than they have, since they take as much memory.

    Args:
        file: At its beginning, seekable.
        name: For the messages.
        limit: Defaults to ``pixel_limit()``.
        first: Image to begin with, from 0.
        last: Image to end before; ``None`` for all.

    Raises:
        ImageTooLargeError: If one of these images is too large.
        ValueError: If a header cannot be read.
    """
    try:
        for header in islice(read_headers(file, name), first, last):
            if header.pixels == header.width * header.height:
                check_size(header.width, header.height, name, limit)
            else:
                check_size(header.pixels, 1, name, limit)
            yield header
    except Image.DecompressionBombError:
        raise ImageTooLargeError(f'image {name}: expected at most {pixel_limit()} pixels, got many more') from None


def check_image(
    content: bytes | str | os.PathLike, name: object, page: int | None = None, limit: int | None = None
) -> list[ImageHeader]:
    """Refuses an image file that says it is larger than the limit.

    Args:
        content: Of the file, or its path.
        name: For the message.
        page: The image of a stack that is to be decoded, from 0; ``None``: its first two, which is what reading a
            single image looks at.
        limit: Defaults to ``pixel_limit()``.

    Returns:
        The headers that were looked at; without any, the stack has no such page.

    Raises:
        ImageTooLargeError: If it is too large.
        ValueError: If its header cannot be read.
        OSError: If the file cannot be opened.
    """
    with io.BytesIO(content) if isinstance(content, bytes) else Path(content).open('rb') as file:
        return list(checked_headers(file, name, limit, page or 0, 2 if page is None else page + 1))


def check_video(capture: cv2.VideoCapture, name: object) -> None:
    """Refuses a video that says its frames are larger than ``pixel_limit()``.

    Raises:
        ImageTooLargeError: If they are.
    """
    check_size(int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), name)
