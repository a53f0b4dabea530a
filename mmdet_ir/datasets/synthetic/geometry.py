"""Solid shapes seen from any side: parts in metres, an orthographic view, an anti-aliased sprite with exact masks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates
_CIRCLE = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=1)  # [16, 2]


@dataclass(frozen=True)
class Part:
    """One piece of an object, in the object's frame: x forward, y to the left, z up, metres, ground at z = 0.

    Attributes:
        points: [K, 3] corners of a flat face or, with a radius, the centres whose balls' hull is the part.
        temperature: Kelvin above the surroundings (additive; degrees Celsius once placed).
        radius: metres; None for a flat face.
        opacity: 1 hides what is behind; spokes and spinning rotors let it through.
        owner: number of the instance in its sprite, from 1; 0 belongs to no instance.
        silhouette: whether the part counts for the instance's mask.
        cull: a face whose corners run counter-clockwise as seen from outside; left out when seen from behind.
        bias: metres by which the part counts as nearer when the parts are put in order.
    """

    points: np.ndarray
    temperature: float
    radius: float | None = None
    opacity: float = 1.0
    owner: int = 1
    silhouette: bool = True
    cull: bool = False
    bias: float = 0.0


def ball(center: Sequence[float], radius: float, temperature: float, **kwargs) -> Part:
    return Part(np.array([center], dtype=float), temperature, radius, **kwargs)


def limb(start: Sequence[float], end: Sequence[float], radius: float, temperature: float, **kwargs) -> Part:
    """A tube with round ends."""
    return Part(np.array([start, end], dtype=float), temperature, radius, **kwargs)


def face(points: Sequence[Sequence[float]], temperature: float, **kwargs) -> Part:
    return Part(np.array(points, dtype=float), temperature, None, **kwargs)


def circle(center: Sequence[float], radius: float, axis: int, count: int = 16) -> np.ndarray:
    """Points [count, 3] on the circle around ``center`` in the plane orthogonal to the axis 0 (x), 1 (y) or 2 (z)."""
    angle = np.arange(count) * 2 * np.pi / count
    points = np.zeros((count, 3))
    first, second = (i for i in range(3) if i != axis)
    points[:, first], points[:, second] = np.cos(angle), np.sin(angle)
    return points * radius + np.asarray(center, dtype=float)


def owned(parts: list[Part], owner: int) -> list[Part]:
    return [replace(part, owner=owner) for part in parts]


@dataclass(frozen=True)
class Pose:
    """Where the object's origin is seen, and from which side.

    Attributes:
        u, v: pixel position of the origin (0, 0 = corner of the top left pixel).
        scale: pixels a metre.
        yaw: radians, turns the object about z; 0 = facing right in the image.
        elevation: radians, of the camera over the object: 0 from the side, pi/2 from straight above, < 0 from below.
        roll: radians, turns the sprite in the image plane.
    """

    u: float
    v: float
    scale: float
    yaw: float = 0.0
    elevation: float = 0.0
    roll: float = 0.0

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Object points [K, 3] in metres to pixels [K, 2] and relative distances [K] from the camera in metres."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        x = points[:, 0] * cos - points[:, 1] * sin
        y = points[:, 0] * sin + points[:, 1] * cos
        z = points[:, 2]
        cos, sin = np.cos(self.elevation), np.sin(self.elevation)
        right, down, depth = x, -(z * cos + y * sin), y * cos - z * sin
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        u = self.u + self.scale * (right * cos - down * sin)
        v = self.v + self.scale * (right * sin + down * cos)
        return np.stack([u, v], axis=1), depth


@dataclass
class Sprite:
    """An object rasterised on the pixel grid; its corner (x, y) may lie outside the image.

    Attributes:
        x, y: pixel position of the sprite's top left pixel.
        temperature: float32 [h, w], defined where alpha > 0.
        alpha: float32 [h, w], how much of the background each pixel hides.
        owner: uint8 [h, w], instance number that owns the pixel, 0 for none.
        full_areas: pixels of each instance (1, 2, ...) alone, not hidden by anything nor cut by the image.
    """

    x: int
    y: int
    temperature: np.ndarray
    alpha: np.ndarray
    owner: np.ndarray
    full_areas: list[int]


def _outline(part: Part, uv: np.ndarray, scale: float, min_width: float) -> np.ndarray:
    if part.radius is None:
        return uv
    radius = max(part.radius * scale, min_width / 2)
    points = (uv[:, None] + radius * _CIRCLE[None]).reshape(-1, 2)
    if len(uv) == 1:
        return points
    return cv2.convexHull(points.astype(np.float32))[:, 0]


class _Canvas:
    """Parts painted one over the other, at several times the image's resolution."""

    def __init__(self, shape: tuple[int, int], instances: int) -> None:
        self.temperature = np.zeros(shape, np.float32)
        self.alpha = np.zeros(shape, np.float32)
        self.owner = np.zeros(shape, np.uint8)
        self.full = [np.zeros(shape, np.uint8) for _ in range(instances)]  # each instance alone

    def draw(self, part: Part, outline: np.ndarray) -> None:
        """Paint a part whose outline [K, 2] is in canvas pixels."""
        polygon = np.round((outline - 0.5) * (1 << _SHIFT)).astype(np.int32)
        counted = part.silhouette and part.owner > 0
        if part.opacity >= 1:
            cv2.fillPoly(self.temperature, [polygon], float(part.temperature), shift=_SHIFT)
            cv2.fillPoly(self.alpha, [polygon], 1.0, shift=_SHIFT)
            if counted:
                cv2.fillPoly(self.owner, [polygon], part.owner, shift=_SHIFT)
        else:
            inside = np.zeros(self.owner.shape, np.uint8)
            cv2.fillPoly(inside, [polygon], 1, shift=_SHIFT)
            inside = inside.astype(bool)
            through = self.alpha[inside] * (1 - part.opacity)
            alpha = through + part.opacity
            self.temperature[inside] = (self.temperature[inside] * through + part.temperature * part.opacity) / alpha
            self.alpha[inside] = alpha
            if counted:
                self.owner[inside & (self.owner == 0)] = part.owner
        if counted:
            cv2.fillPoly(self.full[part.owner - 1], [polygon], 1, shift=_SHIFT)

    def shrink(self, x: int, y: int, size: tuple[int, int]) -> Sprite:
        """The sprite at (x, y) in image pixels; a pixel is an instance's if the instances cover half of it or more."""

        def mean(array: np.ndarray) -> np.ndarray:
            return cv2.resize(array.astype(np.float32), size, interpolation=cv2.INTER_AREA)

        alpha = mean(self.alpha)
        temperature = mean(self.temperature * self.alpha) / np.maximum(alpha, 1e-6)
        owner = np.zeros(alpha.shape, np.uint8)
        if self.full:
            covers = np.stack([mean(self.owner == i + 1) for i in range(len(self.full))])
            owner = np.where(covers.sum(axis=0) >= 0.5, covers.argmax(axis=0) + 1, 0).astype(np.uint8)
        return Sprite(x, y, temperature, alpha, owner, [int((mean(full) >= 0.5).sum()) for full in self.full])


def _turns_clockwise(polygon: np.ndarray) -> bool:
    """Whether [K, 2] pixel positions (v downwards) run clockwise to the eye."""
    u, v = polygon.T
    return float(np.dot(u, np.roll(v, -1)) - np.dot(v, np.roll(u, -1))) > 0


def rasterize(parts: list[Part], pose: Pose, size: tuple[int, int], min_width: float = 1.3) -> Sprite | None:
    """Draw the parts, far ones first, with coverage anti-aliasing.

    Args:
        parts: with temperatures in degrees Celsius.
        pose: of the object.
        size: width and height of the image; what lies over half an image outside is cut off.
        min_width: pixels; thinner tubes are drawn this wide, so that a spoke does not vanish.

    Returns:
        None where nothing of the object falls on the image.
    """
    points = np.concatenate([part.points for part in parts])
    uv, depth = pose.project(points)
    ends = np.cumsum([len(part.points) for part in parts]).tolist()
    spans = [slice(end - len(part.points), end) for part, end in zip(parts, ends, strict=True)]
    outlines = [_outline(p, uv[s], pose.scale, min_width) for p, s in zip(parts, spans, strict=True)]
    width, height = size
    drawn = np.concatenate(outlines)
    low, high = np.floor(drawn.min(axis=0)) - 1, np.ceil(drawn.max(axis=0)) + 1
    if low[0] >= width or low[1] >= height or high[0] <= 0 or high[1] <= 0:
        return None
    low = np.maximum(low, [-width // 2, -height // 2]).astype(int)
    high = np.minimum(high, [width + width // 2, height + height // 2]).astype(int)
    w, h = (int(n) for n in high - low)
    factor = 4 if max(w, h) <= 80 else 2

    canvas = _Canvas((h * factor, w * factor), max(part.owner for part in parts))
    means = np.add.reduceat(depth, [span.start for span in spans]) / [len(part.points) for part in parts]
    for i in np.argsort([part.bias for part in parts] - means, kind='stable'):
        if not (parts[i].cull and _turns_clockwise(outlines[i])):
            canvas.draw(parts[i], (outlines[i] - low) * factor)
    return canvas.shrink(int(low[0]), int(low[1]), (w, h))
