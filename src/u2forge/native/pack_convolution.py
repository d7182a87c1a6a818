"""A convolution's weights → the arrays that the kernels read, in the order in which they read them.

Products read vectors of 16 output channels, as many side by side as a block has, for one input channel (float32) or a
pair of them (16 bits) after another: a block is (positions, inputs / pair, 16 · vectors, pair), blocks lie one behind
the other. Physical channels: each segment (part of a joined buffer) begins at a group of 16, zeros fill it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.native.plan import GROUP, Algorithm
from u2forge.native.transform_weights import LARGE_TRANSFORM, TAPS, TRANSFORM, transform_taps

# Vectors side by side in a product, largest first.
BLOCK_VECTORS = (4, 2, 1)

Weights = NDArray[np.float32]  # (output channels, input channels, height, width)


def padded(channels: int) -> int:
    """Channels that those of a tensor take in whole groups."""
    return -(-channels // GROUP) * GROUP


def padded_segments(segments: Sequence[int]) -> int:
    """Channels that the segments take, each in whole groups."""
    return sum(padded(channels) for channels in segments)


def padded_channels(array: NDArray[Any], segments: Sequence[int]) -> NDArray[Any]:
    """The array with its last axis, of real channels, spread to physical ones; zeros between."""
    out = np.zeros((*array.shape[:-1], padded_segments(segments)), array.dtype)
    first = 0
    for real, place in _places(segments):
        out[..., place : place + real] = array[..., first : first + real]
        first += real
    return out


def _places(segments: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(real channels, first physical channel) of each segment."""
    place = 0
    for real in segments:
        yield real, place
        place += padded(real)


def output_blocks(channels: int) -> list[slice]:
    """The physical output channels of each block."""
    vectors, edges = padded(channels) // GROUP, [0]
    for size in BLOCK_VECTORS:
        while vectors >= size:
            edges.append(edges[-1] + size * GROUP)
            vectors -= size
    return [slice(first, last) for first, last in pairwise(edges)]


def block_taps(weight: Weights, segments: Sequence[int], block: slice, *, pair: int) -> NDArray[np.float32]:
    """(9, inputs / pair, block's outputs · pair): the 3×3 weights of one block in the order of products, padded."""
    part = weight[block]
    outputs, width, inputs = len(part), block.stop - block.start, padded_segments(segments)
    taps = np.zeros((TAPS, inputs, width), np.float32)
    first = 0
    for real, place in _places(segments):
        kernels = part[:, first : first + real].reshape(outputs, real, TAPS)
        taps[:, place : place + real, :outputs] = kernels.transpose(2, 1, 0)
        first += real
    if pair > 1:
        taps = taps.reshape(TAPS, inputs // pair, pair, width).swapaxes(2, 3)
    return np.ascontiguousarray(taps).reshape(TAPS, inputs // pair, width * pair)


def pack_convolution(
    weight: Weights, segments: Sequence[int], algorithm: Algorithm, *, bfloat16: bool = False
) -> NDArray[Any]:
    """(n,) float32, or bfloat16 as uint16: the weights of a 3×3 convolution between blocked tensors.

    segments: real channels of each part of its input.
    """
    positions = algorithm.factors
    inputs, outputs = padded_segments(segments), padded(len(weight))
    stored: Callable[[NDArray[np.float32]], NDArray[Any]] | None = rounded_to_bfloat16 if bfloat16 else None
    packed = np.empty(positions * inputs * outputs, np.uint16 if bfloat16 else np.float32)
    for block in output_blocks(len(weight)):
        taps = block_taps(weight, segments, block, pair=2 if bfloat16 else 1).reshape(TAPS, -1)
        size = positions * inputs
        out = packed[size * block.start : size * block.stop].reshape(positions, -1)
        if algorithm is Algorithm.DIRECT:
            out[:] = taps if stored is None else stored(taps)
        else:
            transform = LARGE_TRANSFORM if algorithm is Algorithm.WINOGRAD_6X6 else TRANSFORM
            transform_taps(taps, out, transform=transform, stored=stored)
    return packed


def rounded_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of each value's nearest bfloat16, of two equally near the even one; a NaN stays one."""
    bits = values.view(np.uint32)
    rounded = bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))
    rounded >>= 16
    out: NDArray[np.uint16] = rounded.astype(np.uint16)
    broken = np.isnan(values)
    if broken.any():
        out[broken] = 0x7FC0
    return out


def pack_first(weight: Weights) -> NDArray[np.float32]:
    """(9, input channels, padded output channels): of a 3×3 convolution of a planar tensor."""
    outputs, inputs = weight.shape[:2]
    packed = np.zeros((TAPS, inputs, padded(outputs)), np.float32)
    packed[..., :outputs] = weight.reshape(outputs, inputs, TAPS).transpose(2, 1, 0)
    return packed


def pack_side(weight: Weights, segments: Sequence[int]) -> NDArray[np.float32]:
    """(output channels, 9, physical input channels): of a 3×3 convolution to a planar tensor."""
    outputs, inputs = weight.shape[:2]
    return padded_channels(weight.reshape(outputs, inputs, TAPS).swapaxes(1, 2), segments)


def pack_pointwise(weight: Weights) -> NDArray[np.float32]:
    """(output channels, input channels): of a 1×1 convolution between planar tensors."""
    return np.ascontiguousarray(weight[:, :, 0, 0])
