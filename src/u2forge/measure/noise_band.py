"""The turns' medians of two runs → the band in which the ratio of their centres lies, for all that the turns tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom (any table of it); above 30 it falls by 4 % at most.
_STUDENT_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
# Of more turns, the normal distribution tells how far the k-th smallest lies from the median; no sum of binomials.
_MANY_TURNS = 100


@dataclass(frozen=True)
class Band:
    """A change of time, as new / old - 1, lies from `low` to `high` at about 95 %."""

    low: float
    high: float


def noise_band(change: float, old_medians: Sequence[float], new_medians: Sequence[float]) -> Band | None:
    """The band around `change`, which is new / old - 1; None where one side has fewer than two turns.

    The variance of each side's log median comes from how far apart two of its ordered turns lie: one turn in ten
    that met another load does not widen it, as it would a standard deviation. Both variances are added, and their root
    is multiplied by Student's t of Welch's degrees of freedom, as few turns tell the variance badly.
    What differs from one run to the next, and drifts within a run, is not in it.
    Source: Price and Bonett 2002, distribution-free intervals for differences and ratios of medians; they take the
    normal distribution instead of Student's t. On drawn turns of normal spread 95 to 99 % of bands hold the truth.
    """
    if min(len(old_medians), len(new_medians)) < 2:
        return None
    sides = [(_log_median_variance(medians), len(medians) - 1) for medians in (old_medians, new_medians)]
    variance = sum(one for one, _ in sides)
    if variance == 0:
        return Band(change, change)
    freedom = variance**2 / sum(one**2 / count for one, count in sides)
    reach = _student_95(freedom) * math.sqrt(variance)
    return Band(_moved(change, -reach), _moved(change, reach))


def _log_median_variance(medians: Sequence[float]) -> float:
    logs = sorted(math.log(median) for median in medians)
    count = len(logs)
    rank = max(1, round((count + 1) / 2 - math.sqrt(count)))
    between = logs[count - rank] - logs[rank - 1]
    return (between / (2 * _deviations(rank, count))) ** 2


def _deviations(rank: int, count: int) -> float:
    """By how many standard deviations of the median the rank-th smallest of `count` lies below it."""
    if count > _MANY_TURNS:
        return (count / 2 - rank + 0.5) / (math.sqrt(count) / 2)
    below = sum(math.comb(count, index) for index in range(rank)) / 2**count
    return -NormalDist().inv_cdf(below)


def _student_95(freedom: float) -> float:
    """Between two whole degrees of freedom, along the line."""
    place = min(max(freedom, 1.0), float(len(_STUDENT_95))) - 1
    below = min(int(place), len(_STUDENT_95) - 2)
    return _STUDENT_95[below] + (place - below) * (_STUDENT_95[below + 1] - _STUDENT_95[below])


def _moved(change: float, logarithm: float) -> float:
    """The change after a further factor, given by its logarithm; beyond a million it makes no difference any more."""
    return (1 + change) * math.exp(min(logarithm, math.log(1e6))) - 1
