"""What OpenCV makes of the frames of a video."""

import cv2
import numpy as np

_GREY16 = b'Y1\x00\x10'  # FFmpeg's gray16le, the only format of more than 8 bits that OpenCV hands on unchanged
_PLANAR = b'YG'  # first letters of FFmpeg's codes for planes of grey, of brightness and colour, and of RGB
_PACKED = {b'RGB0': 16, b'BGR0': 16, b'RBA@': 16, b'BRA@': 16}  # (0 and @ are 48 and 64 bits a pixel)
_NEAR_GREY = 8  # levels; lossy codecs and the way back from brightness and colour make up to 3 of it


def video_bits(capture: cv2.VideoCapture) -> tuple[int, bool]:
    """Bits of a sample of a video, and whether OpenCV can hand on more than 8 of them.

    Formats that FFmpeg has no code for, and those of other backends, count as 8 bits.
    """
    code = (int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF).to_bytes(4, 'little')
    return bits_of(code), code == _GREY16


def keep_depth(capture: cv2.VideoCapture, name: object) -> bool:
    """Lets 16-bit grey keep its counts, where OpenCV would hand on 8 bits.

    Returns:
        Whether the frames have 16 bits.

    Raises:
        ValueError: For other videos of more than 8 bits, which OpenCV would cut.
    """
    bits, deep = video_bits(capture)
    if bits > 8 and not deep:
        raise ValueError(
            f'{name}: expected a video of 8 bits, or of 16 bits in grey, got {bits}, which OpenCV would reduce to 8; '
            f'convert it: ffmpeg -i IN -pix_fmt gray16le -c:v ffv1 OUT.mkv'
        )
    if deep:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    return deep


def bits_of(code: bytes) -> int:
    """Bits of a sample from FFmpeg's code of a pixel format.

    Such as ``Y3``, two bytes of which the last is 10, for 10 bits of brightness and colour; the bytes are reversed for
    big-endian samples.
    """
    for letters in (code, code[::-1]):
        if letters in _PACKED:
            return _PACKED[letters]
        if letters[0] in _PLANAR and letters[1:2] in (b'1', b'2', b'3', b'4') and 8 < letters[3] <= 32:
            return letters[3]
        if letters[0] in b'PY' and letters[1:].isdigit() and letters[2] == ord('1'):  # P010, Y216, ...
            return int(letters[2:])
    return 8


def as_grey(frame: np.ndarray) -> np.ndarray:
    """A grey frame whose channels differ by what a codec adds, as grey levels; all else as it is.

    Args:
        frame: uint8 ``[H, W, 3]`` BGR, or anything else.

    Returns:
        ``[H, W]`` where no pixel's channels differ by more than 8 levels.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        return frame
    blue, green, red = cv2.split(frame)
    lowest, highest = cv2.min(cv2.min(blue, green), red), cv2.max(cv2.max(blue, green), red)
    if int(cv2.subtract(highest, lowest).max()) > _NEAR_GREY:
        return frame
    return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
