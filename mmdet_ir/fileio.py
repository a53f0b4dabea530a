"""Whole files: output that is never seen half-written, and JSON that is read strictly."""

import gc
import io
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PATH = 'a path (str or os.PathLike)'  # for messages
_ENDINGS = ('png', 'jpg', 'jpeg', 'bmp', 'mp4')  # of outputs whose names come from inputs


class OutputError(ValueError):
    """A file that cannot be written; the message names it and the reason."""


@contextmanager
def whole_file(path: str | os.PathLike, temporary: str | os.PathLike | None = None) -> Iterator[BinaryIO]:
    """Opens a file that takes its name only when all of it is on the disk; makes missing folders.

    The content goes to a temporary name beside ``path``, is flushed to the disk, and is renamed. Whatever happens
    before the renaming, a file that was there under ``path`` stays as it was.

    Args:
        path: The file.
        temporary: Name meanwhile; the default is a new one every time, so that several threads, processes or machines
            may write one file at once. A process that is killed leaves it behind, so large files should have one that
            the next attempt uses again.

    Raises:
        OutputError: If it cannot be written: full disk, missing permission, read-only file system.
    """
    path = Path(path)
    temporary = Path(temporary or path.with_name(f'.{path.name}.{uuid.uuid4().hex}.tmp'))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open('wb') as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _flush_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f'{path}: cannot be written ({error.strerror or error})') from error


def kind_of_object(given: object) -> str:
    """The type of an object for a message, with the way to an array where there is one."""
    kind = type(given)
    name = kind.__qualname__ if kind.__module__ == 'builtins' else f'{kind.__module__}.{kind.__qualname__}'
    is_image = hasattr(given, '__array__') or hasattr(given, '__array_interface__')
    return f'{name}; numpy.asarray() makes an array of it' if is_image and name != 'numpy.ndarray' else name


def require_path(given: object, name: str = '', more: str = '') -> str | os.PathLike:
    """A path as it was given.

    Args:
        given: By a caller.
        name: Of the argument, for the message.
        more: What else is accepted, for the message.

    Raises:
        TypeError: If it is none: an open file, bytes, an image.
    """
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f'{name}{": " if name else ""}expected {PATH}{more}, got {kind_of_object(given)}')
    return given


def unique_name(wanted: str, taken: set[str]) -> str:
    """A name that no other output has: ``wanted``, or with ``_2``, ``_3``, ... before its ending.

    Args:
        wanted: With ``/`` between folders.
        taken: Names in lower case, since some file systems do not tell the cases apart; gets the new one.
    """
    folder, _, name = wanted.rpartition('/')
    stem, dot, ending = name.rpartition('.') if name.rpartition('.')[2] in _ENDINGS else (name, '', '')
    start = f'{folder}/{stem}' if folder else stem
    candidate, number = wanted, 1
    while candidate.lower() in taken:
        number += 1
        candidate = f'{start}_{number}{dot}{ending}'
    taken.add(candidate.lower())
    return candidate


def refuse_overwriting(
    out: str | os.PathLike | None, inputs: Iterable[str | os.PathLike | None], option: str = '--out'
) -> None:
    """Refuses an output that is one of its own inputs, by whatever path or link.

    Args:
        out: File to write; ``None`` for no file.
        inputs: Files to read; what is no file, such as a name or a URL, is passed over.
        option: That ``out`` comes from, for the message.

    Raises:
        ValueError: If writing would replace an input.
    """
    for given in inputs:
        if out and given and os.path.isfile(out) and os.path.isfile(given) and os.path.samefile(out, given):
            raise ValueError(f'{option} {out}: expected another file than the input {given}, which it would replace')


def _flush_folder(folder: Path) -> None:
    """Puts the renaming itself on the disk; not every system lets a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes ``text`` as a whole or not at all, see :func:`whole_file`."""
    with whole_file(path) as file:
        file.write(text.encode('utf-8'))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector, for blocks that make many small objects and no cycles.

    While a large annotation file is read, the collector takes a third of the time and finds nothing. It goes on after
    the block if it was on before.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_text(path: str | Path) -> str:
    """Read a text file as programs write it: UTF-8, UTF-16 or UTF-32, with or without a byte-order mark.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is in another encoding; which, cannot be told from its bytes.
    """
    content = Path(path).read_bytes()
    encoding = json.detect_encoding(content)  # by the byte-order mark, else by the zeros among the first bytes
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path}: expected text in UTF-8, got the byte {content[error.start]:#04x} at position {error.start}, '
            f'which {encoding} does not have there (a file in GBK or Latin-1, or no text file?); save the file as '
            f'UTF-8, such as with "iconv -f GBK -t UTF-8"'
        ) from error


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file without their ends (of Unix, Windows or old Macs), see :func:`read_text`."""
    lines = io.StringIO(read_text(path), newline=None)
    return [line.rstrip('\n').lstrip('\ufeff') for line in lines]  # (joined files keep the marks of their beginnings)


def read_json(path: str | Path) -> dict:
    """Read a file that holds one JSON object, such as a COCO file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not text (see :func:`read_text`) or not JSON, is nested deeper than Python's parser goes,
            has a key twice in one object (programs differ in which they take), or holds something else than an object.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'annotation file not found: {path}')
    text = read_text(path)
    try:
        with collector_paused():
            content = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON (cut off, or another format?): {error}') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path}: expected a JSON object with images, annotations and categories, got a {type(content).__name__}'
        )
    return content


def _unique(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        key = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f'the key {key!r} stands more than once in one object')
    return content
