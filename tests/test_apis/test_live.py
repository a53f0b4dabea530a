"""Streams on loopback, raw frames on a pipe, and what happens when they stall, end early, or are too fast."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mmdet_ir  # noqa: F401
from mmdet_ir.apis.inference.inputs import Frame, Skipped, find_sources, read_frames
from mmdet_ir.apis.inference.live import LiveFrames, RawFrames, is_live, live_name, parse_raw, shown

import cv2
import numpy as np
import pytest

RAW = RawFrames(8, 6)


def frames(number: int) -> list[np.ndarray]:
    return [np.full((6, 8), 7000 + i, np.uint16) for i in range(number)]


def raw_bytes(images: list[np.ndarray]) -> io.BytesIO:
    return io.BytesIO(b''.join(image.astype('<u2').tobytes() for image in images))


@contextmanager
def served(number: int, pause: float, stall: float = 0.0) -> Iterator[str]:
    """The address of MJPEG pictures over HTTP on loopback, which get brighter; ``stall`` seconds at the end."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
            self.end_headers()
            try:
                for i in range(number):
                    picture = cv2.imencode('.jpg', np.full((48, 64), 20 + i, np.uint8))[1].tobytes()
                    head = f'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n'
                    self.wfile.write(head.encode() + picture + b'\r\n')
                    self.wfile.flush()
                    time.sleep(pause)
                time.sleep(stall)
            except OSError:  # the reader has left
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(('127.0.0.1', 0), Camera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_address[1]}/camera.mjpg'
    finally:
        server.shutdown()


def test_raw_frames_arrive_as_they_were_sent() -> None:
    live = LiveFrames('-', RAW, every_frame=True, stdin=raw_bytes(frames(5)))
    live.open()
    got = list(live())
    assert [index for index, _ in got] == list(range(5))
    assert all((image == 7000 + i).all() and image.dtype == np.uint16 for i, image in got)
    assert (live.received, live.dropped, live.reason) == (5, 0, None)


def test_a_stream_that_ends_within_a_frame_keeps_what_came() -> None:
    live = LiveFrames('-', RAW, every_frame=True, stdin=io.BytesIO(raw_bytes(frames(3)).getvalue()[:-10]))
    live.open()
    assert len(list(live())) == 2
    assert live.reason == 'the stream ends within frame 2: expected 96 bytes a frame (8x6 uint16), got 86'


class Paced(io.RawIOBase):
    """Frames that come every 20 ms, and then nothing more."""

    def __init__(self, number: int) -> None:
        self.left, self.content = number, raw_bytes(frames(number))

    def read(self, size: int = -1) -> bytes:
        time.sleep(0.02 if self.left else 30)
        self.left -= 1
        return self.content.read(size)


def test_frames_are_dropped_for_a_slow_model_and_the_newest_is_seen() -> None:
    live = LiveFrames('-', RAW, timeout=0.5, stdin=Paced(20))
    live.open()
    got = []
    for index, _ in live():
        got.append(index)
        time.sleep(0.11)  # the model
    assert got == sorted(set(got)) and got[-1] == 19
    assert live.received == 20 and live.dropped == 20 - len(got) > 5
    assert live.reason == 'no frame for 0.5 s after 20 frames: the source stalled'


def test_what_stalled_is_named_by_its_address(tmp_path: Path) -> None:
    with served(5, 0.02, stall=30) as address:
        (source,) = find_sources([address], tmp_path, timeout=1, every_frame=True)
        source.live.open()
        *_, end = read_frames(source, read=None)
    assert (end.path, end.index) == (address, 5) and end.reason.endswith('the source stalled')


def test_a_stream_is_left_at_once_when_the_user_asks() -> None:
    live = LiveFrames('-', RAW, timeout=60, stdin=Paced(3))
    live.open()
    start = time.monotonic()
    assert len(list(live(lambda: time.monotonic() - start > 0.5))) >= 1
    assert time.monotonic() - start < 5


def test_a_stream_over_http() -> None:
    with served(6, 0.03) as address:
        (source,) = find_sources([address], 'out', timeout=8, every_frame=True)
        source.live.open()
        items = list(read_frames(source, lambda *_: None))
    got = [item for item in items if isinstance(item, Frame)]
    assert [item.index for item in got] == list(range(len(got))) and len(got) >= 5
    assert [round(float(item.image.mean())) for item in got] == [20 + i for i in range(len(got))]
    assert source.name == f'{address[7:].replace(":", "_").replace("/", "_")}'


@contextmanager
def served_file(path: Path) -> Iterator[str]:
    """The address of a video file over HTTP on loopback."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(path.parent))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_address[1]}/{path.name}'
    finally:
        server.shutdown()


def test_a_stream_of_16_bit_grey_keeps_its_counts(tmp_path: Path) -> None:
    sent = [np.random.default_rng(i).integers(0, 2**16, (48, 64), dtype=np.uint16) for i in range(3)]
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    code = cv2.VideoWriter_fourcc(*'FFV1')
    writer = cv2.VideoWriter(str(tmp_path / 'deep.mkv'), cv2.CAP_FFMPEG, code, 10, (64, 48), options)
    for image in sent:
        writer.write(image)
    writer.release()
    with served_file(tmp_path / 'deep.mkv') as address:
        (source,) = find_sources([address], tmp_path, timeout=8, every_frame=True)
        source.live.open()
        got = list(read_frames(source, read=None))
    assert len(got) == 3
    for item, image in zip(got, sent, strict=True):
        np.testing.assert_array_equal(item.image, image)


class Stream:
    """Stands for a capture of a stream of some pixel format."""

    def __init__(self, code: bytes, image: np.ndarray) -> None:
        self.code, self.left = code, [image]

    def isOpened(self) -> bool:
        return True

    def get(self, key: int) -> float:
        return float(int.from_bytes(self.code, 'little')) if key == cv2.CAP_PROP_CODEC_PIXEL_FORMAT else 8.0

    def set(self, key: int, value: float) -> None:
        pass

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self.left.pop()) if self.left else (False, None)

    def release(self) -> None:
        pass


@pytest.mark.parametrize(
    ('code', 'reason'),
    [
        (b'Y3\x0b\x0a', 'expected a video of 8 bits, or of 16 bits in grey, got 10, which OpenCV would reduce to 8'),
        (b'Y1\x00\x10', 'expected frames of 16 bits, got uint8 from OpenCV'),
    ],
)
def test_a_stream_of_other_depths_is_refused(monkeypatch: pytest.MonkeyPatch, code: bytes, reason: str) -> None:
    stream = Stream(code, np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(cv2, 'VideoCapture', lambda *_: stream)
    (source,) = find_sources(['rtsp://me:pw@cam/1'], 'out', every_frame=True)
    source.live.open()
    (skipped,) = read_frames(source, read=None)
    assert skipped.path == 'rtsp://cam/1' and reason in skipped.reason


@pytest.mark.parametrize('stopped', [False, True])
def test_a_source_without_a_frame_says_so(stopped: bool) -> None:
    (source,) = find_sources(['-'], 'out', raw=RAW)
    source.live._stdin = io.BytesIO(b'')
    source.live.open()
    found = [(item.path, item.index, item.reason) for item in read_frames(source, None, lambda: stopped)]
    assert found == ([] if stopped else [('-', 0, '-: no frames came')])


def test_a_stream_that_stalls_ends_within_its_limit() -> None:
    with served(60, 0.01, stall=30) as address:
        (source,) = find_sources([address], 'out', timeout=4, every_frame=True)
        start = time.monotonic()
        source.live.open()
        *got, last = read_frames(source, lambda *_: None)
        assert time.monotonic() - start < 25
    assert got and all(isinstance(item, Frame) for item in got)
    assert isinstance(last, Skipped) and last.reason.endswith('the source stalled')


def test_what_is_not_there_is_told_without_its_password() -> None:
    live = LiveFrames('http://user:secret@127.0.0.1:9/stream', timeout=1)
    with pytest.raises(ValueError, match=r'^http://127.0.0.1:9/stream: cannot open the stream within 1 s$'):
        live.open()


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_live('0') and is_live('-') and is_live('rtsp://camera/1') and not is_live('clip.mp4')
    (tmp_path / '0').mkdir()
    assert not is_live('0')  # a folder of that name
    assert [live_name(given) for given in ('-', '02', 'rtsp://me:pw@cam.local:554/a/b?x=1')] == [
        'stdin',
        'camera2',
        'cam.local_554_a_b',
    ]
    assert shown('rtsp://me:pw@cam/x@y') == 'rtsp://cam/x@y'


@pytest.mark.parametrize('secret', ['pw', 'p@ss', 'p:s@s@', 'p?ss', 'p#s?s@'])
def test_no_part_of_a_password_is_shown(secret: str) -> None:
    given = f'rtsp://user:{secret}@cam/s'
    assert (shown(given), live_name(given)) == ('rtsp://cam/s', 'cam_s')


def test_wrong_arguments_are_one_line() -> None:
    for texts in (['640', '0', 'uint16'], ['640', '512', 'float'], ['a', '512', 'uint8']):
        with pytest.raises(ValueError, match='--raw: expected WIDTH HEIGHT and one of uint8, uint16'):
            parse_raw(texts)
    with pytest.raises(ValueError, match='input -: expected --raw WIDTH HEIGHT TYPE'):
        find_sources(['-'], 'out')
    with pytest.raises(ValueError, match=r'--raw: expected the input - .* got clip.mp4'):
        find_sources(['clip.mp4'], 'out', raw=RAW)
    with pytest.raises(ValueError, match='--timeout: expected seconds above 0, got 0'):
        find_sources(['-'], 'out', raw=RAW, timeout=0)
