"""Put a scene together: view, background, targets and what hides them, camera."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .. import sensor
from . import background, targets
from .background import Background, Road, View
from .geometry import Part, Pose, Sprite, rasterize

MIN_SIDE = 64
MIN_PIXELS = 12
MIN_VISIBLE = 0.25
_HUMAN, _CAR, _BICYCLE, _UAV = range(4)


@dataclass
class Scene:
    """A rendered scene.

    Attributes:
        counts: uint16 [H, W], 14-bit detector counts.
        image8: uint8 [H, W], the counts as the camera's automatic gain shows them.
        masks: bool [N, H, W], the visible pixels of each target; no pixel belongs to two.
        labels: int64 [N], index into ``CLASSES``.
        meta: 'scene' ('ground', 'aerial', 'sky'), 'polarity' ('hot', 'cold'), 'occlusion' (N floats: hidden or
            cut off part of each target, 0 to 1).

    Example:
        >>> from mmdet_ir.datasets.synthetic import generate_scene
        >>> scene = generate_scene(seed=0, size=(64, 64))
        >>> len(scene.masks) == len(scene.labels)
        True
    """

    counts: np.ndarray
    image8: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    meta: dict


@dataclass
class _Item:
    """Something that stands in the scene, painted from far to near."""

    sprite: Sprite
    depth: float
    labels: tuple[int, ...] = ()
    heat: float | None = None  # absolute temperature; None: contrast to what is behind
    gain: float = 1.0


@dataclass
class _Stage:
    rng: np.random.Generator
    view: View
    sign: int
    base: float
    items: list[_Item] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    houses: list[Sprite] = field(default_factory=list)

    def stand(
        self, parts: list[Part], pose: Pose, depth: float, labels: tuple[int, ...] = (), solid: bool = False
    ) -> bool:
        """Add an object unless it is out of sight or a target too large, mostly over another, or in a wall.

        Seen from above, no target may overlap a ``solid`` object that stands there already.
        """
        sprite = rasterize(parts, pose, self.view.size)
        if sprite is None:
            return False
        if labels:
            height, width = sprite.alpha.shape
            box = (sprite.x, sprite.y, sprite.x + width, sprite.y + height)
            aerial = self.view.kind == 'aerial'
            most = 0.15 if aerial else 0.35  # from above, things stand beside each other
            if max(width, height) > 0.36 * self.view.size[0] or any(_overlap(box, b) > most for b in self.boxes):
                return False
            if aerial and any(_touch(box, house) for house in self.houses):
                return False
            self.boxes.append(box)
            gain = self.rng.uniform(0.3, 0.55) if self.rng.random() < 0.1 else self.rng.uniform(0.75, 1.3)
            self.items.append(_Item(sprite, depth, labels, None, gain))
        else:
            self.items.append(_Item(sprite, depth, (), 0.0))
            if solid:
                self.houses.append(sprite)
        return True


def _overlap(a: tuple, b: tuple) -> float:
    """Intersection over the smaller of two xyxy boxes."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(w, 0) * max(h, 0) / smaller


def _touch(box: tuple[int, int, int, int], sprite: Sprite) -> bool:
    """Whether the sprite covers any pixel of an xyxy box."""
    x0, y0, x1, y1 = (max(n - corner, 0) for n, corner in zip(box, (sprite.x, sprite.y) * 2, strict=True))
    return bool((sprite.alpha[y0:y1, x0:x1] > 0.5).any())


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) or raise ValueError."""
    if len(size) != 2 or any(int(n) != n or n < MIN_SIDE for n in size):
        raise ValueError(f'size: expected (width, height), whole numbers of at least {MIN_SIDE} pixels, got {size}')
    return int(size[0]), int(size[1])


def generate_scene(seed: int | np.random.Generator, size: tuple[int, int] = (320, 256)) -> Scene:
    """Render one random scene.

    Args:
        seed: a number, or a generator to draw from; the same state gives the same scene.
        size: width and height in pixels, at least 64 each.

    Raises:
        ValueError: the size is too small or not a pair of whole numbers.

    Example:
        >>> from mmdet_ir.datasets.synthetic import generate_scene
        >>> scene = generate_scene(seed=0, size=(64, 64))
        >>> scene.counts.dtype, scene.image8.shape, scene.masks.shape[1:]
        (dtype('uint16'), (64, 64), (64, 64))
    """
    size = check_size(size)
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(['ground', 'aerial', 'sky'], p=[0.42, 0.28, 0.30]))
    sign = 1 if rng.random() < 0.6 else -1
    base = rng.uniform(2, 18) if sign > 0 else rng.uniform(26, 38)
    stage = _Stage(rng, _random_view(rng, kind, size), sign, base)
    empty = _SCENES[kind](stage)
    temperature, owners, labels, full = _compose(stage, empty)
    counts = sensor.to_counts(temperature, sensor.random_settings(rng), rng)

    masks, kept, occlusion = [], [], []
    for number, (label, area) in enumerate(zip(labels, full, strict=True), start=1):
        mask = owners == number
        visible = int(mask.sum())
        if visible >= MIN_PIXELS and visible >= MIN_VISIBLE * area:
            masks.append(mask)
            kept.append(label)
            occlusion.append(round(max(0.0, 1 - visible / area), 3))
    meta = {'scene': kind, 'polarity': 'hot' if sign > 0 else 'cold', 'occlusion': occlusion}
    stacked = np.stack(masks) if masks else np.zeros((0, size[1], size[0]), bool)
    return Scene(counts, sensor.stretch(counts), stacked, np.array(kept, dtype=np.int64), meta)


def _random_view(rng: np.random.Generator, kind: str, size: tuple[int, int]) -> View:
    width, height = size
    if kind == 'aerial':
        scale = float(np.exp(rng.uniform(np.log(9), np.log(24)))) * width / 320
        return View(kind, size, scale=scale, elevation=float(np.radians(rng.uniform(45, 90))))
    if kind == 'sky':
        return View(kind, size, horizon=height * float(rng.choice([rng.uniform(0.75, 0.95), 1.2])), focal=width)
    focal = width * rng.uniform(1.0, 1.8)
    return View(kind, size, horizon=height * rng.uniform(0.05, 0.35), focal=focal, height=rng.uniform(3.5, 9))


def _texture(rng: np.random.Generator, shape: tuple[int, int], grains: float) -> np.ndarray:
    """Uneven heat over an object; about ``grains`` spots along its longer side."""
    return background.noise(rng, shape, max(2.0, max(shape) / grains), 1.7)


def _compose(stage: _Stage, empty: Background) -> tuple[np.ndarray, np.ndarray, list[int], list[int]]:
    """Paint the items from far to near. Returns temperature, instance numbers [H, W], labels and full areas."""
    temperature = empty.temperature
    height, width = temperature.shape
    owners = np.zeros((height, width), np.int32)
    labels, full = [], []
    for item in sorted(stage.items, key=lambda item: -item.depth):
        sprite = item.sprite
        h, w = sprite.alpha.shape
        x0, y0, x1, y1 = max(sprite.x, 0), max(sprite.y, 0), min(sprite.x + w, width), min(sprite.y + h, height)
        first = len(labels)
        labels += item.labels
        full += sprite.full_areas
        if x0 >= x1 or y0 >= y1:
            continue
        cut = np.s_[y0 - sprite.y : y1 - sprite.y, x0 - sprite.x : x1 - sprite.x]
        here = np.s_[y0:y1, x0:x1]
        alpha, owner = sprite.alpha[cut], sprite.owner[cut]
        heat = item.gain * sprite.temperature[cut]
        if item.heat is None:
            inside = owner > 0
            surroundings = temperature[here][inside] if inside.any() else temperature[here]
            heat = heat + float(np.median(surroundings)) + 0.35 * item.gain * _texture(stage.rng, (h, w), 4.0)[cut]
        else:
            heat = heat + 0.35 * _texture(stage.rng, (h, w), 12.0)[cut]
        temperature[here] += alpha * (heat - temperature[here])
        region = owners[here]
        region[(alpha >= 0.5) & (owner == 0)] = 0
        region[owner > 0] = owner[owner > 0] + first
    return temperature, owners, labels, full


def _target(stage: _Stage, kind: str, pose_at: Callable[[float], Pose], yaw: float, depth: float) -> bool:
    """Stand one target (or a rider with the bicycle) with its yaw."""
    make = {
        'human': (targets.human, (_HUMAN,)),
        'car': (targets.car, (_CAR,)),
        'bicycle': (targets.bicycle, (_BICYCLE,)),
        'rider': (targets.rider_and_bicycle, (_BICYCLE, _HUMAN)),
    }
    build, labels = make[kind]
    return stage.stand(build(stage.rng, stage.sign), pose_at(yaw), depth, labels)


def _fill(stage: _Stage, empty: Background, wanted: list[str], low: float, high: float) -> None:
    """Place the wanted targets; their scale is log-uniform between low and high pixels a metre ('ground')."""
    rng, view = stage.rng, stage.view
    width, height = view.size
    for kind in wanted:
        for _ in range(8):
            yaw = rng.uniform(0, 2 * np.pi)
            u = rng.uniform(0.04, 0.96) * width
            if view.kind == 'aerial':
                v = rng.uniform(0.04, 0.96) * height
            else:
                scale = np.exp(rng.uniform(np.log(low), np.log(high)))
                v = view.horizon + view.height * scale
                if v > 1.02 * height:
                    continue
                if rng.random() < 0.5:  # more often from the side than along the view
                    yaw = rng.choice([0, np.pi]) + rng.normal(0, 0.3)
            x, d = view.locate(u, v)
            if kind in ('car', 'rider') and empty.roads and rng.random() < 0.75:
                road = empty.roads[rng.integers(len(empty.roads))]
                along = x * np.cos(road.angle) + d * np.sin(road.angle)
                x, d = road.point(along, rng.choice([-1, 1]) * road.width / 4 + rng.normal(0, 0.3))
                yaw = road.angle + rng.choice([0, np.pi]) + rng.normal(0, 0.05)
                if view.kind != 'aerial' and not low <= view.focal / max(d, 0.1) <= high:
                    continue
            if _target(stage, kind, lambda yaw, x=x, d=d: view.pose(x, d, yaw), yaw, d):
                if view.kind == 'ground' and rng.random() < 0.18:
                    _hide(stage, x, d)
                break


def _hide(stage: _Stage, x: float, d: float) -> None:
    """Stand something in front of the target at (x, d)."""
    rng = stage.rng
    heat = stage.base + rng.normal(0, 1.0)
    near = max(d - rng.uniform(0.9, 1.5), d * 0.7)
    build = background.bush if rng.random() < 0.6 else background.pole
    pose = stage.view.pose(x * near / d + rng.normal(0, 0.5), near)
    stage.stand(build(rng, heat), pose, near)


def _scatter(
    stage: _Stage, roads: list[Road], build: Callable, count: int, warmth: float, margin: float, scales: tuple = (0, 0)
) -> None:
    """Stand scenery ``margin`` metres or more off the roads; ``scales``: least and most pixels a metre ('ground')."""
    rng, view = stage.rng, stage.view
    width, height = view.size
    for _ in range(count):
        u = rng.uniform(-0.05, 1.05) * width
        v = rng.uniform(0, height) if view.kind == 'aerial' else view.horizon + view.height * rng.uniform(*scales)
        x, d = view.locate(u, v)
        if all(road.clearance(x, d) >= margin for road in roads):
            parts = build(rng, stage.base + warmth + rng.normal(0, 0.8))
            stage.stand(parts, view.pose(x, d, rng.uniform(0, 6.28)), d, solid=build is background.house)


def _kinds(rng: np.random.Generator, mean: float, chances: dict[str, float]) -> list[str]:
    count = 1 + rng.poisson(mean - 1)
    return [str(k) for k in rng.choice(list(chances), size=min(count, 9), p=list(chances.values()))]


def _ground_scene(stage: _Stage) -> Background:
    rng, view = stage.rng, stage.view
    empty = background.paint_ground(rng, view, stage.sign, stage.base)
    clear = rng.uniform(4, 9)
    sky = background.paint_sky(rng, view, stage.base - 1.0, clear)
    rows = np.arange(view.size[1])[:, None]
    empty.temperature = np.where(rows < view.horizon, sky, empty.temperature).astype(np.float32)
    background.paint_skyline(rng, empty.temperature, view, stage.base)
    unit = view.size[0] / 320
    warmth = rng.uniform(-2.5, 1.5) if stage.sign > 0 else rng.uniform(-5, -1.5)
    roads = empty.roads
    houses = int(rng.choice([0, 1, 2], p=[0.4, 0.35, 0.25]))
    _scatter(stage, roads, background.house, houses, 0.5, 8, (3 * unit, 7 * unit))
    _scatter(stage, roads, background.tree, int(rng.integers(0, 6)), warmth, 1, (4 * unit, 12 * unit))
    _scatter(stage, roads, background.bush, int(rng.integers(0, 6)), warmth, 0.5, (6 * unit, 25 * unit))
    _scatter(stage, roads, background.pole, int(rng.integers(0, 3)), 0.0, 0.3, (5 * unit, 16 * unit))
    chances = {'human': 0.26, 'car': 0.32, 'bicycle': 0.24, 'rider': 0.18}
    _fill(stage, empty, _kinds(rng, 4.2, chances), 6.5 * unit, 50 * unit)
    if view.horizon > 0.2 * view.size[1] and rng.random() < 0.35:
        _fly(stage, empty, 1, 0.1 * view.size[1], 0.9 * view.horizon)
    return empty


def _aerial_scene(stage: _Stage) -> Background:
    rng, view = stage.rng, stage.view
    empty = background.paint_ground(rng, view, stage.sign, stage.base)
    _scatter(stage, empty.roads, background.house, int(rng.integers(0, 3)), 0.5, 7)
    warmth = rng.uniform(-4, 0.5) if stage.sign > 0 else rng.uniform(-6, -2)
    _scatter(stage, empty.roads, background.tree, int(rng.integers(0, 11)), warmth, 1)
    chances = {'human': 0.27, 'car': 0.38, 'bicycle': 0.15, 'rider': 0.2}
    _fill(stage, empty, _kinds(rng, 5.0, chances), 0, 0)
    return empty


def _fly(stage: _Stage, empty: Background, count: int, top: float, bottom: float) -> None:
    """Drones in the air, in image rows top to bottom."""
    rng, (width, _) = stage.rng, stage.view.size
    for _ in range(count):
        span = np.exp(rng.uniform(np.log(8), np.log(75))) * width / 320  # pixels from rotor to rotor
        u, v = rng.uniform(0.05, 0.95) * width, rng.uniform(top, bottom)
        elevation = np.radians(rng.uniform(-35, 15))
        pose = Pose(u, v, span / 0.9, rng.uniform(0, 2 * np.pi), elevation, rng.normal(0, 0.15))
        stage.stand(targets.uav(rng, stage.sign), pose, 100.0 / span, (_UAV,))


def _sky_scene(stage: _Stage) -> Background:
    rng, view = stage.rng, stage.view
    sky = background.paint_sky(rng, view, stage.base, rng.uniform(1.5, 8))
    inside = view.horizon < view.size[1]
    if inside:
        rows = np.arange(view.size[1])[:, None]
        ground = stage.base + 0.5 * background.noise(rng, sky.shape, 30, 1.5, 3.0)
        sky = np.where(rows >= view.horizon, ground, sky).astype(np.float32)
        background.paint_skyline(rng, sky, view, stage.base + rng.uniform(0, 2))
    empty = Background(sky)
    bottom = view.horizon - 0.08 * view.size[1] if inside else 0.95 * view.size[1]
    _fly(stage, empty, 1 + int(rng.poisson(2.0)), 0.05 * view.size[1], bottom)
    return empty


_SCENES = {'ground': _ground_scene, 'aerial': _aerial_scene, 'sky': _sky_scene}
