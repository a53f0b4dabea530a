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
    ends = np.cumsum([len(part.points) for part in parts])
    spans = [slice(end - len(part.points), end) for part, end in zip(parts, ends, strict=True)]
    outlines = [_outline(p, uv[s], pose.scale, min_width) for p, s in zip(parts, spans, strict=True)]
    width, height = size
    low = np.floor(np.min([o.min(axis=0) for o in outlines], axis=0)) - 1
    high = np.ceil(np.max([o.max(axis=0) for o in outlines], axis=0)) + 1
    if low[0] >= width or low[1] >= height or high[0] <= 0 or high[1] <= 0:
        return None
    low = np.maximum(low, [-width // 2, -height // 2]).astype(int)
    high = np.minimum(high, [width + width // 2, height + height // 2]).astype(int)
    w, h = (int(n) for n in high - low)
    factor = 4 if max(w, h) <= 80 else 2

    shape = (h * factor, w * factor)
    temperature, alpha = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    owner = np.zeros(shape, np.uint8)
    full = [np.zeros(shape, np.uint8) for _ in range(max(p.owner for p in parts))]
    order = sorted(range(len(parts)), key=lambda i: parts[i].bias - float(depth[spans[i]].mean()))
    for i in order:
        part = parts[i]
        if part.cull and _turns_clockwise(outlines[i]):
            continue
        polygon = np.round(((outlines[i] - low) * factor - 0.5) * (1 << _SHIFT)).astype(np.int32)
        if part.opacity >= 1:
            cv2.fillPoly(temperature, [polygon], float(part.temperature), shift=_SHIFT)
            cv2.fillPoly(alpha, [polygon], 1.0, shift=_SHIFT)
            if part.silhouette:
                cv2.fillPoly(owner, [polygon], part.owner, shift=_SHIFT)
        else:
            inside = np.zeros(shape, np.uint8)
            cv2.fillPoly(inside, [polygon], 1, shift=_SHIFT)
            inside = inside.astype(bool)
            old = alpha[inside]
            new = old + (1 - old) * part.opacity
            mixed = temperature[inside] * old * (1 - part.opacity) + part.temperature * part.opacity
            temperature[inside], alpha[inside] = mixed / (old * (1 - part.opacity) + part.opacity), new
            if part.silhouette:
                owner[inside & (owner == 0)] = part.owner
        if part.silhouette and part.owner:
            cv2.fillPoly(full[part.owner - 1], [polygon], 1, shift=_SHIFT)

    def shrink(array: np.ndarray) -> np.ndarray:
        return cv2.resize(array, (w, h), interpolation=cv2.INTER_AREA)

    small_alpha = shrink(alpha)
    small_temperature = shrink(temperature * alpha) / np.maximum(small_alpha, 1e-6)
    covers = np.stack([shrink((owner == i + 1).astype(np.float32)) for i in range(len(full))] or [np.zeros((h, w))])
    small_owner = np.where(covers.sum(axis=0) >= 0.5, covers.argmax(axis=0) + 1, 0).astype(np.uint8)
    if not full:
        small_owner[:] = 0
    areas = [int((shrink(f.astype(np.float32)) >= 0.5).sum()) for f in full]
    return Sprite(int(low[0]), int(low[1]), small_temperature, small_alpha, small_owner, areas)
