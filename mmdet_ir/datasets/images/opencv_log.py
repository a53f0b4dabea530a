"""OpenCV's own log, whose functions have another place in OpenCV 5 than in OpenCV 4."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_SILENT = 0


@contextmanager
def opencv_silenced() -> Iterator[None]:
    """Broken files are reported by name; OpenCV's own lines would repeat it, and tear up progress bars."""
    log = getattr(cv2.utils, 'logging', cv2)  # OpenCV 5, OpenCV 4
    level = log.getLogLevel()
    log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)
