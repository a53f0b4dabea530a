"""Steadier scores and masks along the tracks of a video."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...visualization.overlay import FoundInstance
from .tiles import encode_crop
from .tracking import KEPT_FRAMES

_FADED = 0.02  # of a pixel's share, below which it is forgotten


@dataclass
class _State:
    """What is known of a target.

    Attributes:
        score: Smoothed.
        corner: Column and row of the first pixel of ``shares`` in the image.
        shares: ``[h, w]``, how much of the time, weighted, a pixel has belonged to the mask.
        anchor: Centre of the box that ``corner`` stands for, in pixels.
        frame: In which it was seen last.
    """

    score: float
    corner: np.ndarray
    shares: np.ndarray
    anchor: np.ndarray
    frame: int


class TrackSmoother:
    """Averages the score and the mask of each track over its frames, newer frames weighing more.

    Masks move with the centre of their box. Boxes stay as they were found, and a detection without a track as well.

    Args:
        share: What the frames before weigh, above 0 and below 1. Masks are only changed from above 0.5 on: below, the
            mask of the frame at hand outweighs all others.

    Raises:
        ValueError: If ``share`` is out of range.

    Example:
        >>> import numpy as np
        >>> from mmdet_ir.apis.inference.smoothing import TrackSmoother
        >>> from mmdet_ir.visualization.overlay import FoundInstance
        >>> smoother, mask = TrackSmoother(0.75), np.ones((2, 2), bool)
        >>> for score in (0.8, 0.4):
        ...     seen = FoundInstance(0, score, (4, 4, 6, 6), {'size': [16, 16]}, 4, (4, 4), mask, track=1)
        ...     (steady,) = smoother.update([seen])
        >>> round(steady.score, 3), steady.area
        (0.7, 4)
    """

    def __init__(self, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(f'--smooth: expected a share above 0 and below 1, got {share:g}')
        self.share = share
        self.states: dict[int, _State] = {}
        self.frame = 0

    def update(self, instances: Sequence[FoundInstance]) -> list[FoundInstance]:
        """Detections of the next frame, with what ``IdentityTracker.update`` has found of their tracks."""
        self.frame += 1
        self.states = {k: state for k, state in self.states.items() if self.frame - state.frame <= KEPT_FRAMES}
        return [one if one.track is None else self._smoothed(one) for one in instances]

    def _smoothed(self, one: FoundInstance) -> FoundInstance:
        x1, y1, x2, y2 = one.box
        centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        before = self.states.get(one.track)
        corner, shares = np.array(one.corner), one.crop.astype(np.float32)
        if before is None:
            self.states[one.track] = _State(one.score, corner, shares, centre, self.frame)
            return one
        moved = np.rint(centre - before.anchor).astype(int)
        score = self.share * before.score + (1 - self.share) * one.score
        parts = [(before.corner + moved, before.shares, self.share), (corner, shares, 1 - self.share)]
        corner, shares = _added([part for part in parts if part[1].size], one.rle['size'])
        self.states[one.track] = _State(score, corner, shares, before.anchor + moved, self.frame)
        crop_corner, crop = _trimmed(corner, shares > 0.5)
        place = tuple(int(value) for value in crop_corner)
        rle = encode_crop(crop, place, one.rle['size'])
        return replace(one, score=score, corner=place, crop=crop, area=int(crop.sum()), rle=rle)


def _added(
    parts: Sequence[tuple[np.ndarray, np.ndarray, float]], size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sum of windows of an image ``(height, width)``, in the smallest window that holds it."""
    if not parts:
        return np.zeros(2, int), np.zeros((0, 0), np.float32)
    limit = np.array([size[1], size[0]])
    low = np.clip(np.min([corner for corner, _, _ in parts], axis=0), 0, limit)
    high = np.clip(np.max([corner + window.shape[::-1] for corner, window, _ in parts], axis=0), low, limit)
    total = np.zeros((high - low)[::-1], np.float32)
    for corner, window, weight in parts:
        first, last = np.maximum(corner, low), np.minimum(corner + window.shape[::-1], high)
        if (last > first).all():
            (x, y), (x_end, y_end) = first - low, last - low
            (u, v), (u_end, v_end) = first - corner, last - corner
            total[y:y_end, x:x_end] += weight * window[v:v_end, u:u_end]
    inner, kept = _trimmed(low, total > _FADED)
    rows, columns = inner[1] - low[1], inner[0] - low[0]
    return inner, total[rows : rows + kept.shape[0], columns : columns + kept.shape[1]]


def _trimmed(corner: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mask without its empty margins; ``[0, 0]`` for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return corner, np.zeros((0, 0), bool)
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return corner + [columns[0], rows[0]], inner
