"""How much better one group of runs scores than another, and whether that is more than the seeds' chance."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

NO_DIFFERENCE = 2  # standard errors
SeedScores = Sequence[tuple[object, float]]  # (seed, score) of each run; the seed is None where it is not known


@dataclass(frozen=True)
class Gain:
    """How much better an experiment is than the first.

    Attributes:
        value: Difference of the means, in points (percent) or, for Recall, as a fraction.
        error: Its standard error; ``None`` where an experiment has a single run.
        paired: Whether runs of equal seeds were compared.
    """

    value: float
    error: float | None
    paired: bool

    @property
    def certain(self) -> bool:
        """Whether there is a difference, of at least twice its standard error."""
        return self.error is not None and self.value != 0 and abs(self.value) >= NO_DIFFERENCE * self.error


def seed_gain(before: SeedScores, after: SeedScores) -> Gain:
    """Mean of the differences of equal seeds, or the difference of the means where the seeds do not match.

    Seeds match where one group has all seeds of the other; what the larger group has besides is left out, as it says
    nothing about a difference of equal seeds. The standard error is that of paired samples, ``stdev(differences) /
    sqrt(n)``, or of independent ones, ``sqrt(s^2 / n + s0^2 / n0)``. It tells about seeds only, not about other data.

    Args:
        before: Runs that the gain refers to; at least one.
        after: Runs that gain; at least one.

    Example:
        >>> from mmdet_ir.experiments.gains import seed_gain
        >>> gain = seed_gain([(0, 30.0), (1, 32.0)], [(0, 31.0), (1, 33.5)])
        >>> gain.value, gain.error, gain.certain
        (1.25, 0.25, True)
        >>> seed_gain([(0, 30.0), (1, 32.0), (2, 37.0)], [(1, 33.5)]).value
        1.5
    """
    old, new = (dict(runs) for runs in (before, after))
    common = old.keys() & new.keys()
    if None not in common and common in (old.keys(), new.keys()):
        differences = [new[seed] - old[seed] for seed in sorted(common)]
        error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else None
        return Gain(statistics.fmean(differences), error, paired=True)
    values = [[value for _, value in runs] for runs in (before, after)]
    error = None
    if min(map(len, values)) > 1:
        error = math.sqrt(sum(statistics.variance(group) / len(group) for group in values))
    return Gain(statistics.fmean(values[1]) - statistics.fmean(values[0]), error, paired=False)
