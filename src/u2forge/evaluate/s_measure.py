"""The structure measure (S-measure): how alike a map and the truth are, by object and by region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The weight of the object's likeness against the regions'. Source: Fan et al., ICCV 2017.
ALPHA = 0.5
# Keeps 0 / 0 away; the value is the package's, so that figures agree. Source: pysodmetrics 1.6.2, utils.py, EPS.
_EPSILON = float(np.spacing(1))


def s_measure(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The S-measure in [0, 1] of an (H, W) map in [0, 1].

    An empty truth gives 1 - the map's mean, a full one that mean. Source: Fan et al., Structure-measure: A New Way to
    Evaluate Foreground Maps, ICCV 2017, with α = 0.5.
    """
    foreground = int(np.count_nonzero(truth))
    if foreground == 0:
        return 1.0 - float(probability.mean())
    if foreground == truth.size:
        return float(probability.mean())
    by_object = _object_likeness(probability, truth, foreground / truth.size)
    by_region = _region_likeness(probability, truth)
    return max(0.0, ALPHA * by_object + (1 - ALPHA) * by_region)


def _object_likeness(probability: NDArray[np.float64], truth: NDArray[np.bool_], part: float) -> float:
    """Foreground and background on their own, by their parts of the picture."""
    inside, outside = probability[truth], 1.0 - probability[~truth]
    return part * _evenness(inside) + (1 - part) * _evenness(outside)


def _evenness(values: NDArray[np.float64]) -> float:
    """1 where all values are 1; less, the lower and the less even they are."""
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + spread + _EPSILON)


def _region_likeness(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Four quadrants about the truth's centroid, by their areas.

    A quadrant without pixels (the centroid is in the last row or column) counts nothing. pysodmetrics gives NaN there.
    """
    height, width = truth.shape
    row, column = _centroid(truth)
    likeness = 0.0
    for rows in (slice(0, row), slice(row, height)):
        for columns in (slice(0, column), slice(column, width)):
            quadrant = truth[rows, columns]
            if quadrant.size:
                likeness += quadrant.size / truth.size * _likeness(probability[rows, columns], quadrant)
    return likeness


def _centroid(truth: NDArray[np.bool_]) -> tuple[int, int]:
    """Rows and columns up to the foreground's centroid, its own included, as MATLAB's 1:x would."""
    height, width = truth.shape
    by_row, by_column = np.count_nonzero(truth, axis=1), np.count_nonzero(truth, axis=0)
    row = np.arange(height) @ by_row / by_row.sum()
    column = np.arange(width) @ by_column / by_column.sum()
    return round(float(row)) + 1, round(float(column)) + 1


def _likeness(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The structural similarity of one region, from means, variances and covariance.

    Where both are even it is 1. The mean of equal values may be off in its last digit, so that they do not count as
    even; pysodmetrics has the same, and the same mean, summed in the same order, keeps the figures equal.
    """
    mean, truth_mean = float(values.mean()), float(truth.mean())
    bias, truth_bias = values - mean, truth - truth_mean
    degrees = values.size - 1 + _EPSILON
    variances = float((bias**2).sum() + (truth_bias**2).sum()) / degrees
    covariance = float((bias * truth_bias).sum()) / degrees
    above = 4 * mean * truth_mean * covariance
    below = (mean**2 + truth_mean**2) * variances
    if above != 0:
        return above / (below + _EPSILON)
    return 1.0 if below == 0 else 0.0
