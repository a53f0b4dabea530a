"""Live sources: cameras, streams, and raw frames on standard input; only the newest frame waits for the model."""

import io
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ...datasets.images.image_limits import check_size, check_video
from ...datasets.images.videos import as_grey, keep_depth

STREAMS = ('rtsp://', 'rtsps://', 'rtmp://', 'http://', 'https://', 'udp://', 'tcp://')
RAW_TYPES = ('uint8', 'uint16')
DEFAULT_TIMEOUT = 10.0  # seconds without a frame, after which a stream is taken to have ended
_STEP = 0.1  # seconds between two looks for Ctrl-C


@dataclass(frozen=True)
class RawFrames:
    """Layout of raw frames: width, height and ``'uint8'`` or ``'uint16'`` (little-endian, as Y16)."""

    width: int
    height: int
    dtype: str = 'uint16'

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        return self.width * self.height * np.dtype(self.dtype).itemsize


def parse_raw(texts: list[str]) -> RawFrames:
    """The layout from ``['640', '512', 'uint16']``.

    Raises:
        ValueError: If it is no such layout.

    Example:
        >>> from mmdet_ir.apis.inference.live import parse_raw
        >>> parse_raw(['640', '512', 'uint16'])
        RawFrames(width=640, height=512, dtype='uint16')
    """
    width, height, dtype = texts
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)) or dtype not in RAW_TYPES:
        raise ValueError(
            f'--raw: expected WIDTH HEIGHT and one of {", ".join(RAW_TYPES)}, such as 640 512 uint16, got '
            f'{" ".join(texts)}'
        )
    check_size(int(width), int(height), '--raw')
    return RawFrames(int(width), int(height), dtype)


def is_live(given: str) -> bool:
    """Whether an input is a camera, a stream or standard input; a file of such a name comes first."""
    return not Path(given).exists() and (given == '-' or given.isdecimal() or given.startswith(STREAMS))


def live_name(given: str) -> str:
    """A name for output files: ``stdin``, ``camera0``, or host and path of an address, without a password."""
    if given == '-':
        return 'stdin'
    if given.isdecimal():
        return f'camera{int(given)}'
    address = shown(given).split('://', 1)[1].split('?')[0]
    return re.sub(r'[^A-Za-z0-9.]+', '_', address).strip('_.') or 'stream'


def shown(given: str) -> str:
    """An input in messages and reports: an address without its user name and password."""
    return re.sub(r'(?<=://)[^/]*@', '', given)


class LiveFrames:
    """Frames of a live source, read in a thread.

    Args:
        given: Number of a camera, address of a stream, or ``-``.
        raw: Layout of the frames on standard input.
        timeout: Seconds without a frame, after which the source is taken to have ended.
        every_frame: Keeps all frames and lets the source wait, instead of dropping frames that the model has no time
            for.
        stdin: To read ``-`` from; defaults to standard input.

    Attributes:
        received: Number of frames that came.
        dropped: How many of them were not handed out.
        fps: What the source says of its rate; ``None`` if it says nothing.
        reason: Why it ended, if this is worth a line in the report.
    """

    def __init__(
        self,
        given: str,
        raw: RawFrames | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        every_frame: bool = False,
        stdin: BinaryIO | None = None,
    ) -> None:
        self.given, self.raw, self.timeout, self.every_frame = given, raw, timeout, every_frame
        self.received = self.dropped = 0
        self.fps: float | None = None
        self.reason: str | None = None
        self._stdin = stdin
        self._slot: deque[tuple[int, np.ndarray]] = deque()
        self._changed = threading.Condition()
        self._ended = self._stopped = False
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Connects, and starts to read.

        Raises:
            ValueError: If there is no such camera or stream.
        """
        if self.given != '-':
            limit = max(1, int(self.timeout * 1000))
            if self.given.isdecimal():
                self._capture = cv2.VideoCapture(int(self.given))
            else:
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
                self._capture = cv2.VideoCapture(self.given, cv2.CAP_FFMPEG, limits)
            if not self._capture.isOpened():
                kind = 'camera' if self.given.isdecimal() else 'stream'
                raise ValueError(f'{shown(self.given)}: cannot open the {kind} within {self.timeout:g} s')
            found = self._capture.get(cv2.CAP_PROP_FPS)
            self.fps = found if 0 < found <= 1000 else None
        threading.Thread(target=self._read_all, name='live', daemon=True).start()

    def __call__(self, stopped: Callable[[], bool] = lambda: False) -> Iterator[tuple[int, np.ndarray]]:
        """Number and image of each frame that is handed out, until the source ends or stalls, or ``stopped()``."""
        last = time.monotonic()
        try:
            while not stopped():
                with self._changed:
                    if not self._slot and not self._ended:
                        self._changed.wait(_STEP)
                    item = self._slot.popleft() if self._slot else None
                    self._changed.notify_all()
                    ended = self._ended
                if item is not None:
                    yield item
                    last = time.monotonic()
                elif ended:
                    return
                elif time.monotonic() - last > self.timeout:
                    self.reason = f'no frame for {self.timeout:g} s after {self.received} frames: the source stalled'
                    return
        finally:
            self._stopped = True
            with self._changed:
                self._changed.notify_all()

    def _read_all(self) -> None:
        try:
            for image in self._raw_frames() if self._capture is None else self._captured():
                with self._changed:
                    while self._slot and self.every_frame and not self._stopped:
                        self._changed.wait(_STEP)
                    if self._stopped:
                        return
                    self.dropped += len(self._slot)
                    self._slot.clear()
                    self._slot.append((self.received, image))
                    self.received += 1
                    self._changed.notify_all()
        except (ValueError, OSError, cv2.error) as error:
            self.reason = str(error)
        finally:
            if self._capture is not None:
                self._capture.release()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _captured(self) -> Iterator[np.ndarray]:
        check_video(self._capture, shown(self.given))
        deep = keep_depth(self._capture, shown(self.given))
        start = time.monotonic()
        while not self._stopped:
            found, image = self._capture.read()
            if not found:
                if time.monotonic() - start >= self.timeout:
                    self.reason = f'no frame for {self.timeout:g} s after {self.received} frames: the source stalled'
                return
            if deep and image.dtype != np.uint16:
                raise ValueError(f'{shown(self.given)}: expected frames of 16 bits, got {image.dtype} from OpenCV')
            yield as_grey(image)
            start = time.monotonic()

    def _raw_frames(self) -> Iterator[np.ndarray]:
        # (without a buffer: a thread that waits in one at the end of the program would be a fatal error)
        source = self._stdin or io.FileIO(sys.stdin.fileno(), closefd=False)
        kind = np.dtype(self.raw.dtype).newbyteorder('<')
        while not self._stopped:
            data = _read_exactly(source, self.raw.size)
            if len(data) == self.raw.size:
                values = np.frombuffer(data, kind).reshape(self.raw.height, self.raw.width)
                yield values.astype(self.raw.dtype)
                continue
            if data:
                self.reason = (
                    f'the stream ends within frame {self.received}: expected {self.raw.size} bytes a frame '
                    f'({self.raw.width}x{self.raw.height} {self.raw.dtype}), got {len(data)}'
                )
            return


def _read_exactly(source: BinaryIO, size: int) -> bytes:
    """The next bytes; fewer at the end only."""
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b''.join(parts)
