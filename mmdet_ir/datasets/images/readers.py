"""Readers of files that no image library decodes: cameras' own formats, DICOM, raw pixels; and those of a user.

A reader belongs to endings of file names. The loader, the validator, the converters and ``tools/infer.py`` all read
through it, and files with these endings count as images everywhere.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine import fileio

from .headers import ImageHeader
from .image_limits import check_size

RAW_SUFFIXES = ('.raw', '.bin')  # files of pixels alone
MODULES_VARIABLE = 'MMDET_IR_READERS'  # modules that register readers, for tools that read no config


@dataclass(frozen=True)
class Reader:
    """How to read a kind of file.

    Attributes:
        suffixes: Endings of the file names, in lower case.
        read: From the path of a local file and the number of an image in it, from 0, to its values ``[H, W]``.
        count: From the path to the number of images.
        package: That it needs, as pip calls it; empty for none.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path, int], np.ndarray]
    count: Callable[[Path], int]
    package: str = ''


_readers: dict[str, Reader] = {}


def register_reader(
    *suffixes: str, count: Callable[[Path], int] | None = None, package: str = ''
) -> Callable[[Callable[[Path, int], np.ndarray]], Callable[[Path, int], np.ndarray]]:
    """Registers a function that reads files with these endings.

    Args:
        suffixes: Endings of the file names, such as ``'.cam'``.
        count: From the path to the number of images in the file; ``None``: one.
        package: That the reader needs, as pip calls it.

    Raises:
        ValueError: For an ending that has no dot.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from mmdet_ir.datasets.images import read_infrared, register_reader
        >>> @register_reader('.cam')
        ... def read_cam(path, page):
        ...     return np.frombuffer(path.read_bytes(), '<u2', offset=16).reshape(2, 3)
        >>> _ = Path('a.cam').write_bytes(bytes(16) + np.arange(7000, 7006, dtype='<u2').tobytes())
        >>> read_infrared('a.cam')
        array([[7000, 7001, 7002],
               [7003, 7004, 7005]], dtype=uint16)
    """
    wrong = [suffix for suffix in suffixes if not suffix.startswith('.')]
    if wrong or not suffixes:
        raise ValueError(f'register_reader: expected endings with a dot, such as .cam, got {wrong or "none"}')

    def register(read: Callable[[Path, int], np.ndarray]) -> Callable[[Path, int], np.ndarray]:
        names = tuple(suffix.lower() for suffix in suffixes)
        reader = Reader(names, read, count or (lambda path: 1), package)
        _readers.update(dict.fromkeys(names, reader))
        return read

    return register


def reader_of(path: str | os.PathLike) -> Reader | None:
    """The reader for a file, by the ending of its name; ``None`` for kinds of files that image libraries decode."""
    _import_modules()
    return _readers.get(Path(str(path)).suffix.lower())


def reader_suffixes() -> tuple[str, ...]:
    """All endings that have a reader."""
    _import_modules()
    return tuple(_readers)


def _import_modules() -> None:
    from . import camera_files  # noqa: F401  (registers ours)

    for name in filter(None, os.environ.get(MODULES_VARIABLE, '').split(',')):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(f'{MODULES_VARIABLE}: cannot import {name!r}: {error}') from error


def read_registered(
    reader: Reader, path: str | os.PathLike, page: int | None, backend_args: dict | None = None
) -> tuple[np.ndarray, ImageHeader]:
    """Reads an image through a reader.

    Args:
        reader: Of the file.
        path: For ``backend_args`` as well.
        page: Which image, from 0; ``None``: the only one.
        backend_args: Of mmengine's file access; ``None`` for local files.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the package of the reader is missing.
        ValueError: If the file cannot be read, or the page is missing or beyond its end.
    """
    with fileio.get_local_path(path, backend_args=backend_args) as name:
        file = Path(name)
        if not file.is_file():
            raise FileNotFoundError(f'image not found: {path}')
        number = _call(reader, path, lambda: reader.count(file))
        if page is None and number > 1:
            raise ValueError(
                f'image {path}: is a stack of {number} images, and the annotation file does not say which of them: '
                f'expected a field "page" (from 0) in the entry of "images"'
            )
        if (page or 0) >= number:
            raise ValueError(f'image {path}: expected a page from 0 to {number - 1}, got {page}')
        image = np.asarray(_call(reader, path, lambda: reader.read(file, page or 0)))
    if image.ndim != 2 or not image.size:
        raise ValueError(f'image {path}: expected the values of one image, (H, W), got the shape {image.shape}')
    height, width = image.shape
    check_size(width, height, path)
    return image, ImageHeader(file.suffix[1:].upper(), width, height, 8 * image.dtype.itemsize, 1, image.dtype.kind)


def count_registered(reader: Reader, path: str | os.PathLike) -> int:
    """Number of images in a local file.

    Raises:
        ImportError: If the package of the reader is missing.
        ValueError: If the file cannot be read.
    """
    return _call(reader, path, lambda: reader.count(Path(path)))


def _call(reader: Reader, path: str | os.PathLike, function: Callable) -> object:
    try:
        return function()
    except ImportError as error:
        raise ImportError(
            f'image {path}: reading {"/".join(reader.suffixes)} needs the package {reader.package or error.name}: '
            f'pip install {reader.package or error.name}'
        ) from error
    except FileNotFoundError:
        raise
    except Exception as error:  # (what packages raise for a damaged file has no class in common)
        raise ValueError(f'cannot read image {path}: {str(error) or type(error).__name__}') from error


def register_raw(width: int | str, height: int | str, dtype: str, suffixes: Sequence[str] = RAW_SUFFIXES) -> None:
    """Registers a reader for files of pixels alone, without a header; several images in a file are a stack.

    Args:
        width: In pixels.
        height: In pixels.
        dtype: As numpy calls it, such as ``'uint16'``, or ``'>u2'`` for big-endian values.
        suffixes: Endings of the file names.

    Raises:
        ValueError: For a size or a type that is none.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.datasets.images import read_infrared, register_raw
        >>> np.arange(7000, 7006, dtype=np.uint16).tofile('frame.raw')
        >>> register_raw(3, 2, 'uint16')
        >>> read_infrared('frame.raw').tolist()
        [[7000, 7001, 7002], [7003, 7004, 7005]]
    """
    try:
        width, height, kind = int(width), int(height), np.dtype(dtype)
        sound = kind.kind in 'uif' and min(width, height) > 0
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise ValueError(
            f'--raw: expected width, height and the type of the pixels, such as 640 512 uint16, got {width} {height} '
            f'{dtype}'
        )
    size = width * height * kind.itemsize

    def count(path: Path) -> int:
        length = path.stat().st_size
        if not length or length % size:
            raise ValueError(
                f'expected a multiple of {size} bytes, {width}x{height} pixels of {kind.name}, got {length} bytes'
            )
        return length // size

    def read(path: Path, page: int) -> np.ndarray:
        values = np.fromfile(path, kind, width * height, offset=page * size).reshape(height, width)
        return values.astype(kind.newbyteorder('='))

    register_reader(*suffixes, count=count)(read)
