"""A tensor's statistics to the range that its integers cover, by algorithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.quantize.affine import activation_affine, quantization_noise
from u2forge.quantize.options import ActivationScheme, RangeAlgorithm
from u2forge.quantize.tensor_statistics import TensorStatistics

Range = tuple[float, float]

# Of the values seen, this share lies inside. Source: NNCF and ONNX Runtime calibrate with 99.99 % or more.
PERCENTILE = 99.99
# One of 16 bits for what calibration did not see: a value beyond the range costs far more than a coarser step.
_HEADROOM_OF_16_BITS = 2.0
_CLIP_CANDIDATES = np.linspace(0.3, 1.0, 36)
# Source: Migacz, "8-bit Inference with TensorRT" (GTC 2017): 2048 bins; zeros, which every scale represents,
# are left out.
_ENTROPY_BINS = 2048


def range_of(
    statistics: TensorStatistics, *, algorithm: RangeAlgorithm, bits: int, scheme: ActivationScheme
) -> Range:
    """(low, high) around 0 that the tensor's integers should cover.

    linear: all that was seen (min-max). eqnm: the ends, moved in by one factor, that make the quantization
    noise of the sample least. percentile: the ends that leave out 0.01 % of the sample. entropy: the clipped
    magnitude whose distribution loses least information when it is rounded. With 16 bits, clipping never pays:
    all give twice what was seen.
    """
    low, high = min(float(statistics.low.min()), 0.0), max(float(statistics.high.max()), 0.0)
    if bits > 8:
        return low * _HEADROOM_OF_16_BITS, high * _HEADROOM_OF_16_BITS
    if algorithm == "linear":
        return low, high
    values = statistics.samples.ravel()
    if algorithm == "percentile":
        return _percentile(values, low, high)
    if algorithm == "entropy":
        levels = 2 ** (bits - 1) - 1 if low < 0 else 2**bits - 1
        factor = _entropy_factor(np.abs(values), max(-low, high), levels)
        limit = factor * max(-low, high)
        return max(low, -limit), min(high, limit)
    noise = [
        quantization_noise(values, activation_affine(low * factor, high * factor, bits=bits, scheme=scheme))
        for factor in _CLIP_CANDIDATES
    ]
    best = float(_CLIP_CANDIDATES[int(np.argmin(noise))])
    return low * best, high * best


def _percentile(values: NDArray[np.float32], low: float, high: float) -> Range:
    tail = 100 - PERCENTILE
    if low < 0:
        tail /= 2
        low = min(0.0, float(np.percentile(values, tail)))
    return low, max(0.0, float(np.percentile(values, 100 - tail)))


def _entropy_factor(magnitudes: NDArray[np.float32], limit: float, levels: int) -> float:
    """The share of `limit` to clip at: least Kullback-Leibler divergence between clipped and rounded distribution."""
    if limit <= 0:
        return 1.0
    counts = np.histogram(magnitudes, bins=_ENTROPY_BINS, range=(0, limit))[0].astype(np.float64)
    counts[0] = 0
    if not counts.any():
        return 1.0
    ends = range(levels, _ENTROPY_BINS + 1, 16)
    return ends[int(np.argmin([_divergence(counts, end, levels) for end in ends]))] / _ENTROPY_BINS


def _divergence(counts: NDArray[np.float64], end: int, levels: int) -> float:
    clipped = counts[:end].copy()
    clipped[-1] += counts[end:].sum()
    group = np.arange(end) * levels // end
    filled = counts[:end] > 0
    sums = np.bincount(group, weights=counts[:end], minlength=levels)
    widths = np.bincount(group, weights=filled, minlength=levels)
    rounded = np.where(filled, sums[group] / np.maximum(widths[group], 1), 0)
    seen = clipped > 0
    p, q = clipped / clipped.sum(), rounded / max(rounded.sum(), 1e-300)
    # What was clipped onto an empty bin has no counterpart: a share too small to be seen stands for it.
    q = np.maximum(q, 1e-9)
    return float(np.sum(p[seen] * np.log(p[seen] / q[seen])))
