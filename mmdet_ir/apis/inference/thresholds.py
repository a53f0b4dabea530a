"""Which detections score enough: a threshold for each class, and what weak ones may do along a track."""

from collections.abc import Sequence

import numpy as np

from ...visualization.overlay import FoundInstance


def score_thresholds(scores: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Lowest score of each class.

    Args:
        scores: ``'0.3'`` for all classes, ``'human=0.5'`` for one, in any order.
        classes: Names, by label.

    Returns:
        ``[len(classes)]``, 0.3 for what is not named.

    Raises:
        ValueError: For an unknown class, two values for one, and what is no number in 0..1.
    """
    found: dict[str, float] = {}
    for text in scores:
        name, _, number = str(text).rpartition('=')
        try:
            value = float(number)
        except ValueError:
            value = -1
        if not 0 <= value <= 1:
            raise ValueError(f'score: expected a number in 0..1 or CLASS=NUMBER, got {text!r}')
        if name and name not in classes:
            raise ValueError(f'score: expected one of the classes {", ".join(classes)}, got {name!r}')
        if name in found:
            raise ValueError(f'score: expected one value for {name or "all classes"}, got a second one: {text!r}')
        found[name] = value
    return np.array([found.get(name, found.get('', 0.3)) for name in classes])


class TrackThreshold:
    """Leaves out detections below the threshold of their class, unless their track has reached it before.

    The trackers begin tracks from scores of their own; one that never reaches the threshold is left out as a whole.

    Args:
        thresholds: Lowest score of each class.

    Example:
        >>> from mmdet_ir.apis.inference.thresholds import TrackThreshold
        >>> from mmdet_ir.visualization.overlay import FoundInstance
        >>> keep = TrackThreshold([0.6])
        >>> frames = [[FoundInstance(0, score, (), {}, 0, (), None, track=1)] for score in (0.5, 0.7, 0.2)]
        >>> [len(keep(frame)) for frame in frames]
        [0, 1, 1]
    """

    def __init__(self, thresholds: Sequence[float]) -> None:
        self.thresholds = thresholds
        self.reached: set[int] = set()

    def __call__(self, instances: Sequence[FoundInstance]) -> list[FoundInstance]:
        """What is kept of the next frame."""
        kept = []
        for one in instances:
            strong = one.score >= self.thresholds[one.label]
            if strong and one.track is not None:
                self.reached.add(one.track)
            if strong or one.track in self.reached:
                kept.append(one)
        return kept
