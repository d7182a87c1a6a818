"""Affine quantization: a range to scale and zero point, float arrays to integers and back.

Source: ONNX operators QuantizeLinear and DequantizeLinear: q = saturate(round(x / scale) + zero_point),
rounding half to even; x ≈ (q - zero_point) · scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.quantize.options import ActivationScheme

# A tensor that is zero in every picture still needs a scale.
_SMALLEST_SCALE = 1e-12


@dataclass(frozen=True)
class Affine:
    """One tensor's quantization. dtype: uint8, int8, uint16 or int16; scale: positive, in the tensor's units."""

    scale: float
    zero_point: int
    dtype: str

    @property
    def low(self) -> float:
        """The smallest value that is represented."""
        return (int(np.iinfo(self.dtype).min) - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """The largest value that is represented."""
        return (int(np.iinfo(self.dtype).max) - self.zero_point) * self.scale


def activation_affine(low: float, high: float, *, bits: int, scheme: ActivationScheme) -> Affine:
    """The quantization that covers [low, high] and represents 0 exactly, as padding needs it.

    asymmetric: unsigned, from end to end. symmetric: signed, the larger end on both sides; a tensor that is never
    negative takes unsigned integers from 0 on, as half of the signed ones would never be used.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if scheme == "symmetric" and low < 0:
        limit = 2 ** (bits - 1) - 1
        # As float32, in which the file keeps it.
        scale = float(np.float32(max(-low, high, _SMALLEST_SCALE * limit) / limit))
        return Affine(scale, 0, f"int{bits}")
    levels = 2**bits - 1
    scale = float(np.float32(max(high - low, _SMALLEST_SCALE * levels) / levels))
    return Affine(scale, int(np.clip(np.rint(-low / scale), 0, levels)), f"uint{bits}")


def quantize(array: NDArray[Any], affine: Affine) -> NDArray[Any]:
    """The integers, of affine.dtype, saturated."""
    limits = np.iinfo(affine.dtype)
    levels = np.rint(np.asarray(array, np.float64) / affine.scale) + affine.zero_point
    return np.clip(levels, limits.min, limits.max).astype(affine.dtype)


def dequantize(levels: NDArray[Any], affine: Affine) -> NDArray[np.float64]:
    """The values that integers of affine.dtype stand for."""
    return (levels.astype(np.float64) - affine.zero_point) * affine.scale


def quantization_noise(array: NDArray[Any], affine: Affine) -> float:
    """Mean squared difference between the array and what is left of it after quantization."""
    if not array.size:
        return 0.0
    difference = dequantize(quantize(array, affine), affine) - array
    return float(np.mean(np.square(difference)))
