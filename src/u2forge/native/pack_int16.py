"""A convolution's weights → 16-bit integers in the order of products, with each output channel's scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.native.int16_scales import (
    INPUT_SHIFT,
    WEIGHT_FACTORS,
    largest_of_eight_pairs,
    weight_scales,
)
from u2forge.native.pack_convolution import Weights, block_taps, output_blocks, padded, padded_segments
from u2forge.native.plan import Algorithm
from u2forge.native.transform_weights import TAPS, transform_taps


@dataclass(frozen=True, eq=False)
class Int16Weights:
    """packed: (n,), as the kernels read it. scales: (output channels,) what the weights were multiplied with.
    eight_pairs: see Step."""

    packed: NDArray[np.int16]
    scales: NDArray[np.float64]
    eight_pairs: int


def pack_int16(
    weight: Weights,
    segments: Sequence[int],
    algorithm: Algorithm,
    *,
    input_levels: NDArray[np.float64],
    output_range: NDArray[np.float64],
) -> Int16Weights:
    """The weights of a 3×3 convolution between blocked tensors, for products with levels or transformed levels.

    input_levels: (input channels,) what a level of each is worth; output_range: (output channels,) the largest
    calibrated magnitude of what comes out.
    """
    positions = algorithm.factors
    inputs, outputs = padded_segments(segments), padded(len(weight))
    packed = np.empty(positions * inputs * outputs, np.int16)
    scales = np.ones(outputs)
    eight_pairs = 1
    for block in output_blocks(len(weight)):
        real = slice(block.start, min(block.stop, len(weight)))
        scaled = weight[real] * input_levels.astype(np.float32)[:, None, None]
        whole = slice(0, block.stop - block.start)
        products = _products(block_taps(scaled, segments, whole, pair=2), algorithm)
        scales[real] = weight_scales(_largest(products)[: len(scaled)], output_range[real], algorithm)
        # What rounding makes of the largest must not leave 16 bits: it is 32767 to 1e-7.
        products *= np.repeat(scales[block].astype(np.float32), 2)
        np.rint(products, out=products)
        size = positions * inputs
        packed[size * block.start : size * block.stop].reshape(products.shape)[:] = products
        magnitudes = np.abs(products, out=products).reshape(positions, inputs // 2, -1, 2)
        eight_pairs = max(eight_pairs, largest_of_eight_pairs(magnitudes))
    return Int16Weights(packed, scales[: len(weight)], eight_pairs)


def _products(taps: NDArray[np.float32], algorithm: Algorithm) -> NDArray[np.float32]:
    """(positions, pairs, outputs · 2) what products multiply with, before it is scaled."""
    if algorithm is Algorithm.DIRECT:
        return taps
    out = np.empty((algorithm.factors, *taps.shape[1:]), np.float32)
    transform_taps(
        taps.reshape(TAPS, -1),
        out.reshape(algorithm.factors, -1),
        row_factors=[factor * 2**INPUT_SHIFT for factor in WEIGHT_FACTORS],
        column_factors=WEIGHT_FACTORS,
    )
    return out


def _largest(products: NDArray[np.float32]) -> NDArray[np.float32]:
    """(outputs,) the largest magnitude of each output channel."""
    rows = products.reshape(-1, products.shape[-1])
    largest = np.maximum(rows.max(axis=0), -rows.min(axis=0))
    return np.asarray(largest.reshape(-1, 2).max(axis=1))
