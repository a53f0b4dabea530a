"""Bits of video formats by FFmpeg's codes, and grey frames of lossy codecs."""

from pathlib import Path

from mmdet_ir.apis.inference.inputs import Frame, Skipped, Source, read_frames
from mmdet_ir.datasets.images.videos import as_grey, bits_of

import cv2
import numpy as np
import pytest

# FFmpeg's libavcodec/raw.c: codes of pixel formats with the bits of a sample
CODES = {
    b'Y800': 8,
    b'I420': 8,
    b'NV12': 8,
    b'BGRA': 8,
    b'ABGR': 8,
    b'YUY2': 8,
    b'PAL\x08': 8,
    b'RGB\x0f': 8,
    b'Y2\x00\x08': 8,
    b'Y4\x0b\x08': 8,
    b'\0\0\0\0': 8,
    b'\xff\xff\xff\xff': 8,
    b'Y1\x00\x09': 9,
    b'Y1\x00\x0a': 10,
    b'\x0c\x00\x31\x59': 12,  # gray12be
    b'Y1\x00\x0e': 14,
    b'Y1\x00\x10': 16,
    b'\x10\x001Y': 16,
    b'Y2\x00\x10': 16,
    b'Y3\x0b\x0a': 10,  # yuv420p10le, of most HEVC cameras
    b'\x0a\x0b3Y': 10,
    b'Y3\x0a\x0c': 12,
    b'Y3\x00\x10': 16,
    b'Y4\x0b\x0a': 10,
    b'G3\x00\x0a': 10,
    b'G4\x00\x10': 16,
    b'RGB0': 16,
    b'0RGB': 16,
    b'BGR0': 16,
    b'RBA@': 16,
    b'P010': 10,
    b'P016': 16,
    b'Y210': 10,
    b'Y216': 16,
}


@pytest.mark.parametrize('code', CODES)
def test_bits_of_pixel_formats(code: bytes) -> None:
    assert bits_of(code) == CODES[code]


class Capture:
    """Takes the place of ``cv2.VideoCapture``: frames, ``None`` for a damaged one, and what the header says."""

    def __init__(self, frames: list, count: int, code: bytes = b'I420') -> None:
        self.frames, self.settings = iter(frames), {}
        self.values = {
            cv2.CAP_PROP_FRAME_COUNT: count,
            cv2.CAP_PROP_FRAME_WIDTH: 8,
            cv2.CAP_PROP_FRAME_HEIGHT: 6,
            cv2.CAP_PROP_CODEC_PIXEL_FORMAT: int.from_bytes(code, 'little'),
        }

    def isOpened(self) -> bool:
        return True

    def get(self, key: int) -> float:
        return float(self.values[key])

    def set(self, key: int, value: float) -> None:
        self.settings[key] = value

    def read(self) -> tuple[bool, np.ndarray | None]:
        frame = next(self.frames, None)
        return frame is not None, frame

    def release(self) -> None:
        pass


def read(monkeypatch: pytest.MonkeyPatch, *args) -> list[Frame | Skipped]:
    capture = Capture(*args)
    monkeypatch.setattr(cv2, 'VideoCapture', lambda *_: capture)
    return list(read_frames(Source('v', (Path('v.mp4'),), True), None))


def frame(level: int) -> np.ndarray:
    return np.full((6, 8, 3), level, np.uint8)


def test_frames_behind_damaged_ones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, [frame(10), None, None, frame(40), None, frame(60)], 6)
    assert [(type(item), item.index) for item in found] == [
        (Frame, 0),
        (Skipped, 1),
        (Skipped, 2),
        (Frame, 3),
        (Skipped, 4),
        (Frame, 5),
    ]
    assert found[3].image.tolist() == [[40] * 8] * 6
    assert found[1].reason == 'frame 1 of the video v.mp4 is damaged'


@pytest.mark.parametrize(('count', 'told'), [(2, []), (0, []), (20, [2]), (1 << 30, [2])])
def test_the_end_of_a_video(monkeypatch: pytest.MonkeyPatch, count: int, told: list[int]) -> None:
    found = read(monkeypatch, [frame(10), frame(20)], count)
    assert [item.index for item in found if isinstance(item, Frame)] == [0, 1]
    assert [item.index for item in found if isinstance(item, Skipped)] == told


def test_a_deep_video_is_not_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    (skipped,) = read(monkeypatch, [frame(10)], 1, b'Y3\x0b\x0a')
    assert 'got 10, which OpenCV would reduce to 8' in skipped.reason
    (reduced,) = read(monkeypatch, [frame(10)], 1, b'Y1\x00\x10')
    assert reduced.reason == 'expected frames of 16 bits, got uint8 from OpenCV'
    (whole,) = read(monkeypatch, [np.full((6, 8), 9000, np.uint16)], 1, b'Y1\x00\x10')
    assert whole.image.max() == 9000


@pytest.mark.parametrize('code', ['mp4v', 'MJPG', 'XVID', 'FFV1'])
@pytest.mark.parametrize('levels', [16, 256])
def test_grey_videos_are_grey(tmp_path: Path, code: str, levels: int) -> None:
    rng, path = np.random.default_rng(0), tmp_path / 'v.avi'
    written = [(rng.integers(0, levels, (6, 8)) * (256 // levels)).astype(np.uint8).repeat(16, 0).repeat(16, 1)] * 3
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, written[0].shape[::-1])
    for image in written:
        writer.write(cv2.merge([image] * 3))
    writer.release()
    found = list(read_frames(Source('v', (path,), True), None))
    assert [item.image.shape for item in found] == [(96, 128)] * 3
    assert np.abs(found[0].image.astype(int) - written[0]).mean() < 6


def test_colours_stay_colours() -> None:
    coloured = frame(100)
    coloured[2, 3] = 100, 104, 109
    np.testing.assert_array_equal(as_grey(coloured), coloured)
    coloured[2, 3] = 100, 104, 108
    assert as_grey(coloured).shape == (6, 8)
    assert as_grey(coloured)[0, 0] == 100
    deep = np.full((6, 8), 900, np.uint16)
    assert as_grey(deep) is deep
