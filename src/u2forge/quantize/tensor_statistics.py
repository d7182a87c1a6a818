"""What calibration saw of a tensor: exact ranges and moments by channel, and a sample of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """One tensor over all calibration pictures. Arrays of (C,) channels; samples: (positions, C) float32, pixels from a
    regular grid over each picture."""

    low: Float64
    high: Float64
    mean: Float64
    second_moment: Float64
    samples: NDArray[np.float32]

    def scaled(self, scale: NDArray[Any]) -> TensorStatistics:
        """The statistics of the tensor divided by one positive number for each channel."""
        return TensorStatistics(
            low=self.low / scale,
            high=self.high / scale,
            mean=self.mean / scale,
            second_moment=self.second_moment / np.square(scale),
            samples=(self.samples / scale).astype(np.float32),
        )

    @property
    def variance(self) -> Float64:
        """By channel, at least 0."""
        return np.asarray(np.maximum(self.second_moment - np.square(self.mean), 0))


# Of one tensor: memory stays at some 300 MB for the full network.
MOST_POSITIONS = 4096


class StatisticsBuilder:
    """Gathers one tensor's statistics picture by picture. Where samples are of more than twice MOST_POSITIONS, every
    second picture's are dropped, and of those to come as many."""

    def __init__(self) -> None:
        self._pictures = 0
        self._every = 1
        self._low: Float64 = np.zeros(0)
        self._high: Float64 = np.zeros(0)
        self._mean: Float64 = np.zeros(0)
        self._second: Float64 = np.zeros(0)
        self._samples: list[NDArray[np.float32]] = []

    def add(
        self,
        *,
        low: Float64,
        high: Float64,
        mean: Float64,
        second_moment: Float64,
        samples: NDArray[np.float32],
    ) -> None:
        """Adds one picture's figures, arrays as in TensorStatistics."""
        if not self._pictures:
            self._low, self._high = low.copy(), high.copy()
            self._mean, self._second = np.zeros_like(mean), np.zeros_like(mean)
        np.minimum(self._low, low, out=self._low)
        np.maximum(self._high, high, out=self._high)
        self._mean += mean
        self._second += second_moment
        if self._pictures % self._every == 0:
            self._samples.append(samples)
        if sum(map(len, self._samples)) > 2 * MOST_POSITIONS and len(self._samples) > 1:
            self._samples = self._samples[::2]
            self._every *= 2
        self._pictures += 1

    def result(self) -> TensorStatistics:
        """The statistics of the pictures added so far, of which there must be one."""
        return TensorStatistics(
            low=self._low.copy(),
            high=self._high.copy(),
            mean=self._mean / self._pictures,
            second_moment=self._second / self._pictures,
            samples=np.concatenate(self._samples),
        )
