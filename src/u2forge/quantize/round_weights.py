"""A convolution's weights to integers and scales, rounded so that what is lost matters least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.quantize.bias_correction import summed_over_inputs
from u2forge.quantize.options import WeightGranularity

Float64 = NDArray[np.float64]

_SMALLEST_SCALE = 1e-12
# Clipping the largest weights by up to this much makes all steps finer.
_CLIP_CANDIDATES = np.linspace(0.7, 1.0, 13)


@dataclass(frozen=True, eq=False)
class RoundedWeights:
    """levels: (O, I, kh, kw) int8 or int16; scale: (O,) or () float32; weight ≈ levels · scale[output channel]."""

    levels: NDArray[Any]
    scale: NDArray[np.float32]

    @property
    def values(self) -> Float64:
        """The weights that are left: (O, I, kh, kw)."""
        return self.levels * self.scale.astype(np.float64).reshape(-1, 1, 1, 1)


def round_weights(
    weights: Float64, *, bits: int, granularity: WeightGranularity, input_power: Float64
) -> RoundedWeights:
    """The integers, symmetric around 0, and their scales.

    weights: (O, I, kh, kw); bits: 7, 8 (int8) or 16 (int16); input_power: (I,) mean square of each input
    channel, or (O, I) by output, by which an error counts. Each kernel keeps its sum to half a step: neighbouring
    inputs are alike, so that errors which cancel within a kernel hardly reach the output.
    Source: Guo et al., "SQuant" (ICLR 2022), section 3.2, kernel-wise flips.
    """
    limit = 2 ** (bits - 1) - 1
    largest = (
        np.abs(weights).max((1, 2, 3))
        if granularity == "per_channel"
        else np.abs(weights).max(keepdims=False)
    )
    scale = np.maximum(largest, _SMALLEST_SCALE) / limit
    if bits < 16:
        scale = _least_noise(weights, scale, limit, input_power)
    kept = np.asarray(scale, np.float32)
    exact = weights / kept.astype(np.float64).reshape(-1, 1, 1, 1)
    levels = _keeping_kernel_sums(np.clip(exact, -limit, limit), limit)
    return RoundedWeights(levels.astype(np.int8 if bits <= 8 else np.int16), kept)


def _least_noise(weights: Float64, scale: Float64, limit: int, input_power: Float64) -> Float64:
    """The scales, each made smaller by the factor that makes the error at the output least."""
    least: Float64 = np.full(scale.shape, np.inf)
    best = scale.copy()
    for factor in _CLIP_CANDIDATES:
        tried = np.asarray(scale * factor)
        steps = tried.reshape(-1, 1, 1, 1)
        error = np.clip(np.rint(weights / steps), -limit, limit) * steps - weights
        noise = summed_over_inputs(np.square(error).sum((2, 3)), input_power)
        if scale.ndim == 0:
            noise = noise.sum()
        better = noise < least
        least = np.where(better, noise, least)
        best = np.where(better, tried, best)
    return np.asarray(best)


def _keeping_kernel_sums(exact: Float64, limit: int) -> Float64:
    """`exact` (O, I, kh, kw), in steps, rounded; where a kernel's sum is off by more than half a step, the
    elements that were rounded furthest that way are rounded the other way."""
    kernels = exact.reshape(-1, exact.shape[2] * exact.shape[3])
    levels = np.rint(kernels)
    error = levels - kernels
    excess = np.rint(error.sum(1))
    direction = np.sign(excess)
    order = np.argsort(-error * direction[:, None], axis=1, kind="stable")
    for place in range(kernels.shape[1]):
        rows = np.flatnonzero(np.abs(excess) > place)
        if not rows.size:
            break
        levels[rows, order[rows, place]] -= direction[rows]
    return np.clip(levels, -limit, limit).reshape(exact.shape)
