"""A colour for each class, however many there are."""

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from mmdet.visualization.palette import get_palette

Color = tuple[int, int, int]
_TAKEN = ((0, 0, 0), (128, 128, 128), (255, 255, 255), (255, 32, 32))  # infrared pictures, and the red of errors
_STEPS = 16  # of each channel, among which further colours are sought


def palette_for(number: int, given: Sequence | str | None = None) -> list[Color]:
    """Colours of classes, RGB in 0..255.

    Args:
        number: Of the classes.
        given: The first of them, or more than are needed; one colour for all; or a name that MMDetection knows. What
            is missing is as far as possible from the other colours, to the eye, and the same each time.
    """
    if isinstance(given, str):
        given = get_palette(given, number if given == 'random' else 1)
    given = [] if given is None else list(given)
    if len(given) == 3 and not any(np.ndim(value) for value in given):
        given = [given] * number
    first = tuple(tuple(int(value) for value in color) for color in given[:number])
    return [*first, *_further(first, number - len(first))]


@functools.cache
def _further(first: tuple[Color, ...], number: int) -> list[Color]:
    """Each is the candidate whose nearest neighbour among the colours before it is farthest, in CIELAB."""
    steps = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), axis=-1).reshape(-1, 3)
    places = _lab(candidates)
    nearest = np.full(len(candidates), np.inf)
    for place in _lab(np.array([*_TAKEN, *first], np.uint8)):
        nearest = np.minimum(nearest, np.linalg.norm(places - place, axis=1))
    chosen = []
    for _ in range(number):
        best = int(nearest.argmax())
        chosen.append(tuple(candidates[best].tolist()))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=1))
    return chosen


def _lab(colors: np.ndarray) -> np.ndarray:
    """``[N, 3]`` RGB to CIELAB, float32."""
    return cv2.cvtColor(colors[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
