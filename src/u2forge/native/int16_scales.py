"""The numbers of the 16-bit path: what a level of an activation is worth, how weights and sums are scaled.

Activations are levels 0…4095, of a scale for each channel. The input transform BᵀdB of F(4×4, 3×3) is exact, its first
pass in 16 bits, its second in 32, and is rounded to 16 once, at its end. Weights carry the input channels' scales; each
output channel has one scale for all positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.native.plan import Algorithm

LEVELS = 4095  # 12 bits: 8 · 4095 < 2^15, the first pass of the transform is exact
# The largest level is this many times the largest calibrated value: what some pictures lose where they go beyond the
# calibration, and what all lose in resolution. U²-Net, 31 photos, mean map difference and that of the worst: 0.00034
# and 0.0035 with 1.6, 0.00020 and 0.0016 with 2.5, 0.00037 and 0.0030 with 4.
MARGIN = 2.5
# A channel that calibration never saw above zero: this part of the tensor's largest channel.
DEAD_CHANNEL = 1 / 1000
# The transform of levels is kept in 16 bits, divided by 2^(INPUT_SHIFT - INPUT_FINER[i] - INPUT_FINER[j]) at row i and
# column j; what leaves 16 bits saturates. With (positive, negative) sums of coefficients of Bᵀ's rows, (5, 5), (2, 8),
# (5, 5), (3, 3), (3, 3), (5, 5), it is at most 4095 times the larger of pᵢpⱼ + nᵢnⱼ and pᵢnⱼ + nᵢpⱼ: 50; 68 at (1, 1);
# 30 in rows or columns 3 and 4; 18 in both. So it can saturate only at (1, 1), by 6 %, and where 3 and 4 meet, by 13 %,
# on checkers of 0 and 4095.
INPUT_SHIFT = 3
INPUT_FINER = (0, 0, 0, 1, 1, 0)
# Weights at row i and column j carry BALANCE[i] · BALANCE[j], which the inverse transform takes off again. G makes the
# middle of a tile 500 times smaller than its corner: with one scale for all, 16 bits left little of it. Their rounding
# cost a random layer 4.9 levels, and costs 0.5. Powers of two; 1 like 2, 3 like 4, as the kernels add these first.
BALANCE = (1.0, 1.0, 1.0, 2.0, 2.0, 0.25)
# What weights at row i and column j are multiplied with in all: WEIGHT_FACTORS[i] · WEIGHT_FACTORS[j] · 2^INPUT_SHIFT.
WEIGHT_FACTORS = tuple(balance / 2**finer for balance, finer in zip(BALANCE, INPUT_FINER, strict=True))
LARGEST_WEIGHT = 32767
# Sums of 32 bits must hold so many times the largest calibrated value of the convolution's output. Winograd's sums are
# those before the inverse transform, which can be larger than what comes of them. More would cost weights their
# resolution: direct convolutions with 64 in place of 4 trebled the difference of an ordinary photo's map.
HEADROOM = {Algorithm.WINOGRAD: 8.0, Algorithm.DIRECT: 4.0}
# Beyond it weights are zero for all that matters; keeps every number within float32.
_LARGEST_SCALE = 1e30


@dataclass(frozen=True, eq=False)
class Scaling:
    """What a 16-bit convolution's sums are multiplied with on their way to levels, float32, by output channel."""

    multiplier: NDArray[np.float32]
    addend: NDArray[np.float32]


def level_values(channel_high: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C,) what one level is worth in each channel. channel_high: the largest calibrated value of each."""
    largest = float(channel_high.max(initial=0.0))
    if largest <= 0:
        largest = 1.0
    high = np.where(channel_high > 0, channel_high * MARGIN, largest * DEAD_CHANNEL)
    # Nor far below that: the reciprocal must fit, and noise needs no resolution.
    return np.asarray(np.maximum(high, largest * 1e-6) / LEVELS)


def weight_scales(
    largest_weight: NDArray[np.float32], output_range: NDArray[np.float64], algorithm: Algorithm
) -> NDArray[np.float64]:
    """(OC,) what weights are multiplied with before rounding: as large as 16 bits and the sums' 32 bits allow.

    largest_weight: of each output channel, with the input's levels folded in; output_range: the largest calibrated
    magnitude of the convolution's output.
    """
    with np.errstate(divide="ignore"):
        by_weight = LARGEST_WEIGHT / largest_weight.astype(np.float64)
        by_sum = 2.0**31 / (HEADROOM[algorithm] * output_range)
    scale = np.minimum(np.minimum(by_weight, by_sum), _LARGEST_SCALE)
    return np.where(largest_weight > 0, scale, 1.0)


def scaling(
    scales: NDArray[np.float64], bias: NDArray[np.float32], target_levels: NDArray[np.float64]
) -> Scaling:
    """How sums of weights scaled with `scales` become levels of the target: sum · multiplier + addend."""
    return Scaling(
        multiplier=(1 / (scales * target_levels)).astype(np.float32),
        addend=(bias / target_levels).astype(np.float32),
    )


def largest_of_eight_pairs(magnitudes: NDArray[np.float32]) -> int:
    """The largest sum of the magnitudes of weights that eight pairs of inputs, from a group's first on, meet.

    From it the kernels prove how many products fit into 32 bits. magnitudes: (positions, pairs, outputs, 2), whole
    numbers, of whole groups.
    """
    positions, pairs, outputs, two = magnitudes.shape
    # In float32 exact: 16 weights of 16 bits stay below 2^24.
    sums = magnitudes.reshape(positions, pairs // 8, 8, outputs, two).sum(axis=(2, 4))
    return int(sums.max(initial=0))
