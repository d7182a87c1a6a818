"""Sizes → taps: for each line that a resize makes, the lines that it reads and what each of them weighs.

Made once for each pair of sizes: the pictures of a folder have few. Bounded, as those of an archive have many.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
PillowKernel = Literal["bilinear", "lanczos"]

# Pillow's weights of 8-bit pixels are integers with so many bits behind the point. Source: Pillow's Resample.c.
PILLOW_BITS = 32 - 8 - 2
_SIZES_KEPT = 64
# scipy.ndimage.gaussian_filter's default: the kernel ends at four standard deviations.
_TRUNCATE = 4.0


@dataclass(frozen=True, eq=False)
class Taps:
    """index: (taps, lines made) int32, which lines are read; weights: as many, float32 or int32. Nobody writes to them:
    they are shared."""

    index: NDArray[np.int32]
    weights: NDArray[np.float32] | NDArray[np.int32]

    def __post_init__(self) -> None:
        self.index.flags.writeable = False
        self.weights.flags.writeable = False


@lru_cache(_SIZES_KEPT)
def linear_taps(size_in: int, size_out: int) -> Taps:
    """Two taps, float32: order 1, no anti-aliasing, black beyond the ends.
    Source: scikit-image 0.14 transform.resize(mode="constant")."""
    before, fraction = _sample_points(size_in, size_out)
    weights = (
        np.where(before < 0, 0.0, 1.0 - fraction),
        np.where(before + 1 > size_in - 1, 0.0, fraction),
    )
    index = np.clip((before, before + 1), 0, size_in - 1)
    return Taps(index.astype(np.int32), np.asarray(weights, np.float32))


@lru_cache(_SIZES_KEPT)
def antialiased_taps(size_in: int, size_out: int) -> Taps:
    """The taps of `antialiased_weights`, float32."""
    index, weights = antialiased_weights(size_in, size_out)
    return Taps(np.ascontiguousarray(index.T, np.int32), np.ascontiguousarray(weights.T, np.float32))


def antialiased_weights(size_in: int, size_out: int) -> tuple[NDArray[np.intp], Float64]:
    """(lines made, taps) each: a Gaussian of sigma (scale - 1) / 2, then order 1, mirrored at the ends.
    Source: scikit-image 0.25 transform.resize with its defaults."""
    kernel = _gaussian((size_in / size_out - 1) / 2)
    radius = len(kernel) // 2
    before, fraction = _sample_points(size_in, size_out)
    weights = np.zeros((size_out, len(kernel) + 1))
    weights[:, :-1] = (1 - fraction)[:, None] * kernel
    weights[:, 1:] += fraction[:, None] * kernel
    return _mirror(before[:, None] + np.arange(-radius, radius + 2), size_in), weights


@lru_cache(_SIZES_KEPT)
def pillow_taps(size_in: int, size_out: int, kernel: PillowKernel) -> Taps:
    """Pillow's taps of 8-bit pixels, int32 with PILLOW_BITS behind the point; read beyond the ends is nothing.
    Source: Pillow's Resample.c, precompute_coeffs and normalize_coeffs_8bpc, operation for operation."""
    support, weigh = _PILLOW_KERNELS[kernel]
    scale = size_in / size_out
    shrinking = max(scale, 1.0)
    reach = support * shrinking
    centre = (np.arange(size_out) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + reach + 0.5).astype(np.int64), size_in)
    index = first + np.arange(2 * math.ceil(reach) + 1)[:, None]
    weights = np.where(index < end, weigh((index - centre + 0.5) * (1.0 / shrinking)), 0.0)
    total = np.zeros(size_out)
    for tap in weights:  # one after the other, as Pillow adds them: another order rounds otherwise
        total += tap
    np.divide(weights, total, out=weights, where=total != 0)
    fixed = (weights * (1 << PILLOW_BITS) + np.where(weights < 0, -0.5, 0.5)).astype(np.int32)
    used = fixed.any(axis=1)
    used[0] = True
    return Taps(np.minimum(index, size_in - 1)[used].astype(np.int32), fixed[used])


def _triangle(x: Float64) -> Float64:
    return np.asarray(np.maximum(1.0 - np.abs(x), 0.0))


def _lanczos(x: Float64) -> Float64:
    value: Float64 = np.where((x >= -3.0) & (x < 3.0), _sinc(x) * _sinc(x / 3), 0.0)
    return value


def _sinc(x: Float64) -> Float64:
    angle = x * math.pi
    return np.asarray(np.divide(np.sin(angle), angle, out=np.ones_like(angle), where=x != 0))


# By kernel: how far it reaches at its own scale, and its value there.
_PILLOW_KERNELS: dict[PillowKernel, tuple[float, Callable[[Float64], Float64]]] = {
    "bilinear": (1.0, _triangle),
    "lanczos": (3.0, _lanczos),
}


def _sample_points(size_in: int, size_out: int) -> tuple[NDArray[np.intp], Float64]:
    """The input line at or before each output line's centre, and how far behind it that lies: [0, 1)."""
    centre = (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5
    before = np.floor(centre)
    return before.astype(np.intp), centre - before


def _gaussian(sigma: float) -> Float64:
    if sigma <= 0:
        return np.ones(1)
    radius = int(_TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    return np.asarray(kernel / kernel.sum())


def _mirror(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Indices beyond the ends folded back: d c b | a b c d | c b a."""
    if size == 1:
        return np.zeros_like(index)
    folded = np.abs(index) % (2 * (size - 1))
    return np.asarray(np.minimum(folded, 2 * (size - 1) - folded))
