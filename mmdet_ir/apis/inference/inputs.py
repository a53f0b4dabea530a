"""What a user points inference at: images, stacks, folders, globs, frame patterns and videos; read one at a time."""

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ...datasets.images.files import find_files, image_suffixes, is_foreign, tell_left_out
from ...datasets.images.image_limits import check_video
from ...datasets.images.infrared_io import count_pages
from ...datasets.images.tiff_parts import TiffParts
from ...datasets.images.videos import as_grey, keep_depth
from ...fileio import unique_name
from .live import DEFAULT_TIMEOUT, LiveFrames, RawFrames, is_live, live_name, shown

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.m4v', '.mpg', '.mpeg', '.webm', '.wmv', '.ts')
DEFAULT_FPS = 25.0  # for videos that do not tell
_PATTERN = re.compile(r'%(?:0(\d+))?d')
_MAGIC = re.compile(r'[*?[]')
_FAILURES = 100  # damaged frames in a row, after which a video is taken to have ended
Read = Callable[[Path, int | None], np.ndarray | TiffParts]


@dataclass(frozen=True)
class Source:
    """One output unit: an image file (with all pages of a stack), or a video.

    Attributes:
        name: For output files, without ending, unique among the sources, may hold folders.
        files: The video file, or image files in order.
        video: Whether an annotated video is wanted.
        fps: Of that video; ``None`` takes the input's.
        given: The input that it was found in, as the user named it.
        live: Frames of a camera or a stream; ``files`` then holds its name alone.
    """

    name: str
    files: tuple[Path, ...]
    video: bool = False
    fps: float | None = None
    given: str = ''
    live: LiveFrames | None = None

    @property
    def is_video_file(self) -> bool:
        return self.live is None and len(self.files) == 1 and self.files[0].suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class Frame:
    """An image to work on.

    Attributes:
        source: Where it comes from.
        path: File.
        image: As read, before tone mapping; of a page that is read by parts, the opened page.
        index: Number in the video or sequence, or page of a stack, from 0; ``None`` for a single image.
        page: Page in the file, from 0; ``None`` if the file is no stack.
    """

    source: Source
    path: Path
    image: np.ndarray | TiffParts
    index: int | None = None
    page: int | None = None


@dataclass(frozen=True)
class Skipped:
    """What could not be used, and why; ``path`` is the address of a live source."""

    path: Path | str
    index: int | None
    reason: str


def find_sources(
    inputs: Sequence[str],
    out: str | os.PathLike,
    fps: float | None = None,
    raw: RawFrames | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    every_frame: bool = False,
) -> list[Source]:
    """Finds the files that the inputs name; reads none.

    Args:
        inputs: Image, stack or video files; folders (with what is below them, hidden files aside); globs, ``**``
            included; patterns such as ``frame_%05d.png``, in the order of their numbers; the number of a camera, the
            address of a stream, or ``-`` for raw frames on standard input.
        out: Output folder; folders and globs leave out what lies in it.
        fps: Makes one video of the images of each folder, glob, pattern or stack, and is the rate of all videos.
        raw: Layout of the frames on standard input.
        timeout: See ``LiveFrames``.
        every_frame: See ``LiveFrames``.

    Raises:
        FileNotFoundError: If an input is not there, or a glob or pattern matches nothing.
        ValueError: If there are no inputs, a folder holds neither images nor videos, ``fps`` or ``timeout`` is not
            above 0, or standard input has no layout, or a layout no standard input.
    """
    if not 0 < timeout < float('inf'):
        raise ValueError(f'--timeout: expected seconds above 0, got {timeout}')
    if ('-' in inputs) != (raw is not None):
        raise ValueError(
            'input -: expected --raw WIDTH HEIGHT TYPE beside it, such as --raw 640 512 uint16'
            if raw is None
            else f'--raw: expected the input - (standard input) beside it, got {" ".join(inputs)}'
        )
    if fps is not None and not 0 < fps < float('inf'):
        raise ValueError(f'fps: expected a number above 0, got {fps}')
    if not inputs:
        raise ValueError('expected at least one input, got none')
    sources, names, seen = [], set(), set()
    for given in inputs:
        if is_live(str(given)):
            name = unique_name(live_name(given), names)
            live = LiveFrames(given, raw, timeout, every_frame)
            sources.append(Source(name, (Path(name),), True, fps, shown(given), live))
            continue
        for name, files, sequence in _expand(str(given), Path(out).resolve(), fps is not None):
            new = tuple(file for file in files if file.resolve() not in seen)
            seen.update(file.resolve() for file in new)
            if new:
                is_video = sequence or new[0].suffix.lower() in VIDEO_SUFFIXES
                is_video = is_video or (fps is not None and _may_be_stack(new[0]))
                sources.append(Source(unique_name(name, names), new, is_video, fps, str(given)))
    return sources


def count_frames(source: Source) -> int:
    """Number of frames, as far as the files' headers tell; 1 for what cannot be read, 0 for live sources."""
    if source.live is not None:
        return 0
    if not source.is_video_file:
        return sum(_pages_or_one(file) for file in source.files)
    capture = _open_video(source.files[0])
    try:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1) if capture.isOpened() else 1
    finally:
        capture.release()


def frame_rate(source: Source) -> float:
    """Frames a second of the video to write."""
    if source.live is not None:
        return source.fps or source.live.fps or DEFAULT_FPS
    if source.fps is not None or not source.is_video_file:
        return source.fps or DEFAULT_FPS
    capture = _open_video(source.files[0])
    try:
        found = capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    return found if 0 < found <= 1000 else DEFAULT_FPS


def read_frames(source: Source, read: Read, stopped: Callable[[], bool] = lambda: False) -> Iterator[Frame | Skipped]:
    """Reads a source frame by frame.

    Args:
        source: What to read.
        read: Reads a page of an image file, such as ``IRInferencer.read``.
        stopped: Whether a live source should end.

    Yields:
        Frames, and what was skipped: broken files and pages, frames of another size than the first of a video, and
        the end that a video should have had.
    """
    if source.live is not None:
        frames = _read_live(source, stopped)
    else:
        frames = _read_video(source) if source.is_video_file else _read_images(source, read)
    size = None
    for item in frames:
        if isinstance(item, Frame) and source.video:
            size = size or item.image.shape[:2]
            if item.image.shape[:2] != size:
                reason = (
                    f'expected height and width {size} as the first frame of the video has, got {item.image.shape[:2]}'
                )
                item = Skipped(item.path, item.index, reason)
        yield item


def _read_live(source: Source, stopped: Callable[[], bool]) -> Iterator[Frame | Skipped]:
    path, live = source.files[0], source.live
    for index, image in live(stopped):
        yield Frame(source, path, image, index)
    if live.reason is not None:
        yield Skipped(source.given, live.received, live.reason)
    elif not live.received and not stopped():
        yield Skipped(source.given, 0, f'{source.given}: no frames came')


def _read_images(source: Source, read: Read) -> Iterator[Frame | Skipped]:
    number = 0
    for path in source.files:
        try:
            pages = count_pages(path)
        except (ValueError, OSError) as error:
            yield Skipped(path, number if source.video else None, str(error))
            number += 1
            continue
        if not pages:
            yield Skipped(path, number if source.video else None, f'{path}: no frames came')
            number += 1
            continue
        single = pages == 1 and not source.video
        for page in range(pages):
            index = None if single else number
            number += 1
            try:
                yield Frame(source, path, read(path, page if pages > 1 else None), index, page if pages > 1 else None)
            except (ValueError, OSError) as error:
                yield Skipped(path, index, str(error))


def _read_video(source: Source) -> Iterator[Frame | Skipped]:
    path = source.files[0]
    capture = _open_video(path)
    try:
        if not capture.isOpened():
            yield Skipped(path, None, 'cannot open the video: damaged, cut off, or of a kind unknown to OpenCV')
            return
        try:
            check_video(capture, path)
            deep = keep_depth(capture, path)
        except ValueError as error:
            yield Skipped(path, None, str(error))
            return
        expected, index, failed = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0, 0
        while failed <= _FAILURES:
            found, image = capture.read()
            if not found:
                if index + failed >= expected:
                    break
                failed += 1
                continue
            for _ in range(failed):
                yield Skipped(path, index, f'frame {index} of the video {path} is damaged')
                index += 1
            failed = 0
            if deep and image.dtype != np.uint16:
                yield Skipped(path, index, f'expected frames of 16 bits, got {image.dtype} from OpenCV')
                return
            yield Frame(source, path, as_grey(image), index)
            index += 1
        if index == 0 or index < expected:
            yield Skipped(path, index, f'the video ends after {index} of {expected} frames: damaged or cut off')
    finally:
        capture.release()


def _open_video(path: Path) -> cv2.VideoCapture:
    """By its absolute path: FFmpeg takes what is before a colon in a name for a protocol."""
    return cv2.VideoCapture(str(path.absolute()))


def _expand(given: str, out: Path, as_video: bool) -> Iterator[tuple[str, list[Path], bool]]:
    """Name, files and whether they are a sequence, for each source that an input stands for."""
    path = Path(given)
    if path.is_file():
        yield path.stem, [path], False
    elif given and path.is_dir():  # (an empty text would be the folder at hand)
        known = (*image_suffixes(), *VIDEO_SUFFIXES)
        files = [p for p in find_files(path, known) if not p.resolve().is_relative_to(out)]
        if not files:
            raise ValueError(
                f'{given}: expected a folder with images ({", ".join(image_suffixes())}) or videos, found none'
            )
        yield from _group(files, path, as_video)
    elif _PATTERN.search(path.name):
        files = _numbered(path)
        if not files:
            raise FileNotFoundError(f'no file matches the pattern {given}')
        if as_video:
            yield _PATTERN.sub('', path.stem).rstrip('_-. ') or path.parent.name or 'sequence', files, True
        else:
            yield from ((file.stem, [file], False) for file in files)
    elif _MAGIC.search(given):
        parts = Path(given).parts
        fixed = Path(*parts[: next(i for i, part in enumerate(parts) if _MAGIC.search(part))])
        files = [p for p in _matching(given, fixed) if not p.resolve().is_relative_to(out)]
        if not files:
            raise FileNotFoundError(f'no image or video matches {given}')
        yield from _group(files, fixed, as_video)
    else:
        raise FileNotFoundError(
            f'input not found: expected an image, video, folder, glob or pattern such as frame_%05d.png, got {given!r}'
        )


def _matching(given: str, root: Path) -> list[Path]:
    """Images and videos that a glob matches, by path, each once; files of other programs are left out and told."""
    found, left_out = {}, Counter()
    for path in sorted(map(Path, glob.glob(given, recursive=True))):
        if path.suffix.lower() in (*image_suffixes(), *VIDEO_SUFFIXES) and path.is_file():
            foreign = next((part for part in path.relative_to(root).parts if is_foreign(part)), None)
            if foreign is None:
                found.setdefault(path.resolve(), path)
            else:
                left_out[f'files of other programs, such as {foreign}'] += 1
    tell_left_out(given, left_out)
    return list(found.values())


def _group(files: list[Path], root: Path, as_video: bool) -> Iterator[tuple[str, list[Path], bool]]:
    """Each file for itself, or the images of each folder as one sequence; videos are for themselves anyway."""
    folders: dict[Path, list[Path]] = {}
    for file in files:
        relative = file.relative_to(root)
        if as_video and file.suffix.lower() not in VIDEO_SUFFIXES:
            folders.setdefault(relative.parent, []).append(file)
        else:
            yield relative.with_suffix('').as_posix(), [file], False
    for folder, images in folders.items():
        whole = (Path(root.resolve().name) / folder).as_posix() or 'sequence'
        yield whole, sorted(images, key=_by_number), True


def _by_number(file: Path) -> tuple[list[int | str], str]:
    """The order of frames: numbers in the names count as numbers, so that 2 is before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', file.name)], file.name


def _numbered(path: Path) -> list[Path]:
    """Files of a pattern with ``%d`` or ``%05d``, in the order of their numbers."""
    found = _PATTERN.search(path.name)
    number = rf'\d{{{int(found[1])},}}' if found[1] else r'\d+'
    matches = re.compile(f'{re.escape(path.name[: found.start()])}({number}){re.escape(path.name[found.end() :])}')
    names = os.listdir(path.parent) if path.parent.is_dir() else []
    files = [(int(match[1]), path.parent / name) for name in names if (match := matches.fullmatch(name))]
    return [file for _, file in sorted(files)]


def _may_be_stack(path: Path) -> bool:
    return _pages_or_one(path) > 1


def _pages_or_one(path: Path) -> int:
    try:
        return max(count_pages(path), 1)
    except (ValueError, OSError):
        return 1
