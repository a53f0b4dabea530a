"""What is behind and around the targets: ground with roads, sky with clouds, skylines, trees, houses, poles."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from .geometry import Part, Pose, ball, face, limb


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: float, power: float = 1.7, aspect: float = 1.0
) -> np.ndarray:
    """Random texture with a power-law spectrum, as natural surfaces have; it repeats without a seam.

    Args:
        rng: to draw from.
        shape: height and width, pixels.
        cell: size of the largest grains, pixels.
        power: of the spectrum's decay; larger is smoother.
        aspect: how much longer the grains are along a row than along a column.

    Returns:
        float32 [h, w] with mean 0 and standard deviation 1.
    """
    height, width = shape
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None] * aspect
    spectrum = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    spectrum *= (rows**2 + columns**2 + cell**-2).astype(np.float32) ** (-power / 2)
    spectrum[0, 0] = 0
    texture = np.fft.irfft2(spectrum, s=shape)
    return (texture / max(float(texture.std()), 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class View:
    """The camera: maps the ground plane (x to the right, d away, metres) to pixels.

    Attributes:
        kind: 'ground' (oblique, horizon in sight), 'aerial' (from above, no horizon) or 'sky'.
        size: width and height, pixels.
        horizon: row of the horizon; for 'sky' the row where the skyline stands.
        focal: pixels ('ground').
        height: of the camera over the ground, metres ('ground').
        scale: pixels a metre ('aerial').
        elevation: radians of the camera over the targets ('aerial').
    """

    kind: str
    size: tuple[int, int]
    horizon: float = 0.0
    focal: float = 1.0
    height: float = 1.0
    scale: float = 1.0
    elevation: float = 0.0

    def scale_at(self, d: float) -> float:
        """Pixels a metre at the distance d."""
        return self.scale if self.kind == 'aerial' else self.focal / d

    def pose(self, x: float, d: float, yaw: float = 0.0) -> Pose:
        """The pose of an object that stands on the ground at (x, d)."""
        width, height = self.size
        if self.kind == 'aerial':
            v = height / 2 - d * self.scale * np.sin(self.elevation)
            return Pose(width / 2 + x * self.scale, v, self.scale, yaw, self.elevation)
        scale = self.focal / d
        elevation = float(np.arctan2(self.height, d))
        return Pose(width / 2 + x * scale, self.horizon + self.height * scale, scale, yaw, elevation)

    def locate(self, u: float, v: float) -> tuple[float, float]:
        """Ground position (x, d) in metres of a pixel; for 'ground' the pixel must lie under the horizon."""
        width, height = self.size
        if self.kind == 'aerial':
            return (u - width / 2) / self.scale, (height / 2 - v) / (self.scale * np.sin(self.elevation))
        d = self.focal * self.height / (v - self.horizon)
        return (u - width / 2) * d / self.focal, d

    def ground(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Ground position x, d and the pixel's footprint along x and d, float32 [h, w], metres, of each pixel."""
        width, height = self.size
        u, v = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
        if self.kind == 'aerial':
            squeeze = self.scale * float(np.sin(self.elevation))
            x, d = (u - width / 2) / self.scale, (height / 2 - v) / squeeze
            return x, d, np.full_like(x, 1 / self.scale), np.full_like(x, 1 / squeeze)
        d = self.focal * self.height / np.maximum(v - self.horizon, 0.5)
        return (u - width / 2) * d / self.focal, d, d / self.focal, d * d / (self.focal * self.height)


@dataclass
class Road:
    """A straight strip of the ground: points with |x sin(angle) - d cos(angle) - offset| < width / 2."""

    angle: float
    offset: float
    width: float
    parking: bool = False

    def clearance(self, x: float, d: float) -> float:
        """Metres from the ground point (x, d) to the road's edge, negative on the road."""
        return abs(x * np.sin(self.angle) - d * np.cos(self.angle) - self.offset) - self.width / 2

    def point(self, along: float, across: float) -> tuple[float, float]:
        sin, cos = np.sin(self.angle), np.cos(self.angle)
        return along * cos + (self.offset + across) * sin, along * sin - (self.offset + across) * cos


@dataclass
class Background:
    """The empty scene: temperature in degrees Celsius, float32 [H, W], and where its roads run."""

    temperature: np.ndarray
    roads: list[Road] = field(default_factory=list)


def paint_ground(rng: np.random.Generator, view: View, sign: int, base: float) -> Background:
    """Soil, grass, roads with lanes and parking bays, shadows and the slow gradients of a real ground."""
    width, height = view.size
    x, d, fx, fd = view.ground()
    tile, fine = noise(rng, (256, 256), 60, 1.9), noise(rng, (256, 256), 4, 1.2)
    meters, turn = rng.uniform(0.12, 0.25), rng.uniform(0, np.pi)  # of the ground a texel covers
    fade = np.clip(meters / fd, 0.1, 1)
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    u = ((x * cos + d * sin) / meters + rng.uniform(0, 256)) % 256
    v = ((d * cos - x * sin) / meters + rng.uniform(0, 256)) % 256

    def look(texture: np.ndarray) -> np.ndarray:
        return cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)

    large, small = look(tile), look(fine) * fade
    temperature = base + rng.uniform(0.3, 0.7) * large + rng.uniform(0.15, 0.4) * small
    patch = np.clip((look(np.roll(tile, 77, axis=(0, 1))) - rng.uniform(0.2, 1.0)) * 3, 0, 1)
    temperature += patch * np.sqrt(fade) * (rng.uniform(-2.5, 1.5) + 0.5 * small)
    roads = []
    warm = rng.uniform(1.0, 3.5) if sign < 0 or rng.random() < 0.6 else rng.uniform(-2.0, 0.5)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.15, 0.6, 0.25]))):
        if view.kind == 'aerial':
            angle, middle = rng.uniform(0, np.pi), rng.uniform(-0.25, 0.25) * width / view.scale
        elif rng.random() < 0.5:  # across the view
            angle = rng.normal(0, 0.2)
            far = view.locate(0, view.horizon + rng.uniform(0.25, 0.6) * (height - view.horizon))[1]
            middle = -far
        else:
            angle, middle = np.pi / 2 + rng.normal(0, 0.35), rng.uniform(-5, 5)
        road = Road(angle, middle, rng.uniform(5.5, 10.0), view.kind == 'aerial' and rng.random() < 0.5)
        roads.append(road)
        temperature = _paint_road(rng, temperature, road, (x, d, fx, fd), base + warm, small)
    temperature += _shadows(rng, view, (x, d)) * (1 if sign < 0 else 0.5)
    tilt = rng.normal(0, 0.8, 2)
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    temperature = temperature + tilt[0] * rows + tilt[1] * columns + 0.4 * noise(rng, (height, width), width / 2, 2.5)
    return Background(temperature.astype(np.float32), roads)


def _paint_road(rng, temperature, road: Road, ground, heat: float, small: np.ndarray) -> np.ndarray:
    x, d, fx, fd = ground
    sin, cos = float(np.sin(road.angle)), float(np.cos(road.angle))
    across, along = x * sin - d * cos - road.offset, x * cos + d * sin
    foot = abs(sin) * fx + abs(cos) * fd + 1e-3

    def strip(center: float, width: float) -> np.ndarray:
        return np.clip((width / 2 - np.abs(across - center)) / foot + 0.5, 0, 1) * np.minimum(1, width / foot)

    def blend(alpha: np.ndarray, value) -> None:
        nonlocal temperature
        temperature = temperature + alpha * (value - temperature)

    half = road.width / 2
    pavement = rng.uniform(1.2, 2.5)
    side = float(rng.choice([-1, 1]))
    blend(strip(side * (half + pavement / 2), pavement), heat - rng.uniform(-1, 1.5) + 0.2 * small)
    blend(strip(side * half, 0.3), heat - rng.uniform(1, 2))
    blend(strip(0, road.width), heat + 0.3 * small)
    for wheel in (-road.width / 4, road.width / 4):  # tyre tracks
        blend(strip(wheel, 0.9) * 0.5, heat + rng.uniform(0.1, 0.6) + 0.3 * small)
    paint = heat - rng.uniform(0.8, 2.0)
    blend(strip(0, 0.22) * ((along % 6) < 3), paint)
    for edge in (-half + 0.3, half - 0.3):
        blend(strip(edge, 0.2), paint)
    if road.parking:
        depth = 5.2
        blend(strip(-side * (half + depth / 2), depth), heat + 0.5 + 0.3 * small)
        blend(strip(-side * (half + depth / 2), depth) * ((along % 2.8) < 0.25), paint)
    return temperature


def _shadows(rng: np.random.Generator, view: View, ground) -> np.ndarray:
    """Cool soft-edged blots, in Kelvin, float32 [H, W]."""
    x, d = ground
    width, height = view.size
    total = np.zeros_like(x)
    for _ in range(int(rng.integers(0, 4))):
        v = rng.uniform(max(view.horizon, 0) + 0.15 * height, height)
        cx, cd = view.locate(rng.uniform(0, width), v)
        length, angle = rng.uniform(2, 8), rng.uniform(0, np.pi)
        sin, cos = float(np.sin(angle)), float(np.cos(angle))
        a, b = (x - cx) * cos + (d - cd) * sin, (d - cd) * cos - (x - cx) * sin
        reach = np.sqrt((a / length) ** 2 + (b / (0.35 * length)) ** 2)
        total -= rng.uniform(0.5, 2.5) * np.clip((1 - reach) * 3, 0, 1)
    return total


def paint_sky(rng: np.random.Generator, view: View, base: float, clear: float) -> np.ndarray:
    """A sky that cools by ``clear`` Kelvin from the horizon to the top, with warmer clouds; float32 [H, W]."""
    width, height = view.size
    rows = np.arange(height, dtype=np.float32)[:, None]
    climb = np.clip((view.horizon - rows) / max(view.horizon, 1), 0, 1)
    sky = base - clear * climb ** rng.uniform(0.5, 1.1) + np.zeros((1, width), np.float32)
    if rng.random() < 0.65:
        clouds = noise(rng, (height, width), width * rng.uniform(0.1, 0.4), rng.uniform(1.7, 2.2), rng.uniform(2, 5))
        cover = np.clip((clouds - rng.uniform(-0.6, 1.2)) * rng.uniform(0.5, 1.2), 0, 1)
        sky += cover * clear * rng.uniform(0.15, 0.6) * (1 + 0.15 * clouds)
    else:
        sky += 0.15 * noise(rng, (height, width), width / 2, 2.5, 3.0)
    return sky.astype(np.float32)


def paint_skyline(rng: np.random.Generator, temperature: np.ndarray, view: View, base: float) -> None:
    """Far hills, trees and houses that stand on the horizon; drawn into ``temperature``."""
    width, height = view.size
    rows = np.arange(height)[:, None]
    for layer in range(int(rng.integers(1, 3))):
        tall = rng.uniform(0.02, 0.09) * height / (layer + 0.7)
        shape = noise(rng, (1, width), width / rng.uniform(3, 12), 1.4)[0]
        crest = view.horizon - tall * np.maximum(1 + rng.uniform(0.05, 0.3) * shape, 0.1)
        grain = noise(rng, (height, width), 6, 1.0, 0.25)  # upright, as trunks
        inside = np.clip(rows - crest[None] + 0.5, 0, 1) * np.clip(view.horizon - rows + 1, 0, 1)
        heat = base + rng.normal(0.5, 1.2) + 0.4 * grain - 0.8 * np.clip((crest[None] + tall / 2 - rows) / tall, -1, 1)
        temperature += inside * (heat - temperature)
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.4, 0.3, 0.2, 0.1]))):
        w, h = (int(rng.uniform(a, b) * height) for a, b in ((0.08, 0.3), (0.05, 0.2)))
        left, bottom = int(rng.uniform(-0.5 * w, width - 0.5 * w)), int(view.horizon) + 1
        _house_front(rng, temperature, (left, bottom - h, left + w, bottom), base + rng.normal(1.0, 1.0))


def _house_front(rng, temperature: np.ndarray, box: tuple[int, int, int, int], wall: float) -> None:
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    front = wall + 0.25 * noise(rng, (height, width), max(width / 2, 4))
    front += np.linspace(-0.4, 0.4, height, dtype=np.float32)[:, None]
    front[: max(1, height // 12)] -= 1.5  # the roof's edge sees the sky
    pitch, size = rng.uniform(6, 11), rng.uniform(0.4, 0.6)
    for y in np.arange(height * 0.15, height - pitch * 0.6, pitch):
        for x in np.arange(pitch * 0.3, width - pitch * size, pitch * rng.uniform(0.9, 1.1)):
            pane = rng.choice([-1.8, -1.2, 2.5], p=[0.5, 0.3, 0.2]) + rng.normal(0, 0.2)
            front[int(y) : int(y + pitch * size), int(x) : int(x + pitch * size)] = wall + pane
    y0, y1, x0, x1 = max(top, 0), min(bottom, temperature.shape[0]), max(left, 0), min(right, temperature.shape[1])
    if y0 < y1 and x0 < x1:
        temperature[y0:y1, x0:x1] = front[y0 - top : y1 - top, x0 - left : x1 - left]


def tree(rng: np.random.Generator, heat: float) -> list[Part]:
    """A crown of leaves on a trunk, 3 to 7 metres tall; parts of instance 0 (nobody's)."""
    tall, wide = rng.uniform(3, 7), rng.uniform(1.0, 2.4)
    parts = [limb((0, 0, 0), (0, 0, tall * 0.6), 0.12, heat + 1.0, owner=0)]
    directions = rng.standard_normal((160, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centers = directions * [wide, wide, tall * 0.3] * rng.uniform(0.4, 1, (160, 1)) + [0, 0, tall * 0.65]
    radii = rng.uniform(0.05, 0.17, 160) * wide
    heats = heat - 0.7 * directions[:, 2] + rng.normal(0, 0.5, 160)
    parts += [ball(c, r, t, owner=0) for c, r, t in zip(centers, radii.tolist(), heats.tolist(), strict=True)]
    return parts


def bush(rng: np.random.Generator, heat: float) -> list[Part]:
    """Vegetation about a metre high that hides what stands behind it."""
    parts = []
    for _ in range(35):
        x, y, z = rng.triangular(-1, 0, 1), rng.triangular(-0.6, 0, 0.6), rng.uniform(0, 0.8)
        parts.append(ball((x, y, z), rng.uniform(0.07, 0.2), heat + rng.normal(0, 0.6) + 0.5 * z, owner=0))
    for _ in range(12):
        x = rng.triangular(-0.9, 0, 0.9)
        stem = limb((x, 0, 0.3), (x + rng.normal(0, 0.3), 0, rng.uniform(0.8, 1.3)), 0.015, heat, owner=0)
        parts.append(stem)
    return parts


def pole(rng: np.random.Generator, heat: float) -> list[Part]:
    """A lamp post or a sign."""
    tall = rng.uniform(2.5, 6)
    parts = [limb((0, 0, 0), (0, 0, tall), rng.uniform(0.05, 0.1), heat, owner=0)]
    if rng.random() < 0.6:
        parts.append(limb((0, 0, tall), (rng.choice([-1, 1]) * 1.0, 0, tall), 0.05, heat, owner=0))
    else:
        low = tall - 0.7
        parts.append(face([(-0.35, 0, tall), (0.35, 0, tall), (0.35, 0, low), (-0.35, 0, low)], heat - 1, owner=0))
    return parts


def house(rng: np.random.Generator, heat: float) -> list[Part]:
    """A box with windows and a flat roof."""
    a, b, h = rng.uniform(4, 9), rng.uniform(3, 6), rng.uniform(3, 8)
    corners = [(-a, -b), (a, -b), (a, b), (-a, b)]
    parts = [
        face(
            [(*c, h) for c in corners],
            heat + rng.choice([-1, 1], p=[0.7, 0.3]) * rng.uniform(1, 3.5),
            owner=0,
            cull=True,
        )
    ]
    for i in range(4):
        p, q = np.array(corners[i]), np.array(corners[(i + 1) % 4])
        wall = heat + rng.normal(0, 0.8)
        parts.append(face([(*p, 0), (*q, 0), (*q, h), (*p, h)], wall, owner=0, cull=True))
        outward = np.array([(q - p)[1], -(q - p)[0]]) / np.linalg.norm(q - p) * 0.02
        count = max(int(np.linalg.norm(q - p) / 2.2), 1)
        for z in np.arange(1.0, h - 1.5, 2.8):
            for k in range(count):
                left, right = (p + (q - p) * ((k + t) / count) + outward for t in (0.25, 0.75))
                pane = wall + (2.5 if rng.random() < 0.2 else -1.5)
                rows = [(*left, z), (*right, z), (*right, z + 1.4), (*left, z + 1.4)]
                parts.append(face(rows, pane, owner=0, cull=True, bias=a + b))
    for _ in range(3):
        x, y = rng.uniform(-a + 1, a - 1), rng.uniform(-b + 1, b - 1)
        parts.append(limb((x, y, h), (x, y, h + 0.5), 0.4, heat + 1.5, owner=0, bias=a + b))
    return parts
