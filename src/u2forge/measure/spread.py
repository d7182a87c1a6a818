"""Samples → how they spread: smallest, largest, mean, median, percentiles, coefficient of variation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Of `count` samples, in their own unit. percentiles: by percent; variation: standard deviation / mean."""

    count: int
    min: float
    max: float
    mean: float
    median: float
    percentiles: Mapping[float, float]
    variation: float

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON: the percentiles as `p50`, `p99.9`, …"""
        return {
            "count": self.count,
            "min": self.min,
            "max": self.max,
            "mean": self.mean,
            "median": self.median,
            "percentiles": {f"p{percent:g}": value for percent, value in self.percentiles.items()},
            "variation": self.variation,
        }


def spread_of(samples: Sequence[float], percentiles: Sequence[float] = ()) -> Spread:
    """The spread of at least one sample; percentiles between two samples are interpolated.

    percentiles: in percent, 0 to 100. Source: numpy.percentile, method `linear`.
    """
    array = np.asarray(samples, np.float64)
    mean = float(array.mean())
    return Spread(
        count=len(array),
        min=float(array.min()),
        max=float(array.max()),
        mean=mean,
        median=float(np.median(array)),
        percentiles={float(one): float(np.percentile(array, one)) for one in percentiles},
        variation=float(array.std() / mean) if mean else 0.0,
    )
