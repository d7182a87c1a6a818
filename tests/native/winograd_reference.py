"""F(4×4, 3×3) and F(6×6, 3×3) in plain numpy, from packed weights, which are unpacked here by what the specification
says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.native.plan import Algorithm
from u2forge.quantize.winograd import TRANSFORM

# Aᵀ. Source: Lavin and Gray (2016), section 4.3; the larger one by the same construction.
INVERSE = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
LARGE_INVERSE = np.array(
    [[0**k, 1, (-1) ** k, 2**k, (-2) ** k, 0.5**k, (-0.5) ** k, int(k == 5)] for k in range(6)]
)
# Bᵀ of the larger one.
LARGE_TRANSFORM = np.array(
    [
        [1, 0, -5.25, 0, 5.25, 0, -1, 0],
        [0, 1, 1, -4.25, -4.25, 1, 1, 0],
        [0, -1, 1, 4.25, -4.25, -1, 1, 0],
        [0, 0.5, 0.25, -2.5, -1.25, 2, 1, 0],
        [0, -0.5, 0.25, 2.5, -1.25, -2, 1, 0],
        [0, 2, 4, -2.5, -5, 0.5, 1, 0],
        [0, -2, 4, 2.5, -5, -0.5, 1, 0],
        [0, -1, 0, 5.25, 0, -5.25, 0, 1],
    ]
)


def unpacked_weights(
    packed: NDArray[Any], algorithm: Algorithm, *, inputs: int, pair: int
) -> NDArray[np.float64]:
    """(positions, physical inputs, physical outputs) of (n,) packed weights; bfloat16 as uint16."""
    positions = algorithm.factors
    vectors = packed.size // (positions * inputs * 16)
    blocks, first = [], 0
    while vectors:
        side_by_side = 4 if vectors >= 4 else 2 if vectors >= 2 else 1
        vectors -= side_by_side
        size = positions * inputs * 16 * side_by_side
        block = packed[first : first + size].reshape(positions, inputs // pair, 16 * side_by_side, pair)
        blocks.append(np.swapaxes(block, 2, 3).reshape(positions, inputs, 16 * side_by_side))
        first += size
    assert first == packed.size
    joined = np.concatenate(blocks, axis=2)
    if joined.dtype == np.uint16:
        joined = (joined.astype(np.uint32) << 16).view(np.float32)
    return joined.astype(np.float64)


def tiles_of(array: NDArray[Any], *, step: int = 4) -> NDArray[Any]:
    """(channels, tiles, step + 2, step + 2) of (channels, height, width): `step` apart, from -1 on, zeros around the
    picture."""
    channels, height, width = array.shape
    rows, columns, tile = -(-height // step), -(-width // step), step + 2
    around = ((0, 0), (1, step * rows + 1 - height), (1, step * columns + 1 - width))
    padding = np.pad(array, around)
    windows = np.lib.stride_tricks.sliding_window_view(padding, (tile, tile), axis=(1, 2))[:, ::step, ::step]
    return windows.reshape(channels, rows * columns, tile, tile)


def transformed(tiles: NDArray[Any]) -> NDArray[np.float64]:
    """(36, channels, tiles), of tiles of 8×8 (64, channels, tiles): BᵀdB."""
    channels, count, tile, _ = tiles.shape
    transform = TRANSFORM if tile == len(TRANSFORM) else LARGE_TRANSFORM
    return np.einsum("iy,jx,ctyx->ijct", transform, transform, tiles, optimize=True).reshape(
        tile * tile, channels, count
    )


def inverse_transformed(
    sums: NDArray[Any], height: int, width: int, *, inverse: NDArray[Any] = INVERSE
) -> NDArray[Any]:
    """(outputs, height, width) of sums of products (36 or 64, outputs, tiles), in their own type.

    inverse: its magnitudes instead, for what errors of the sums can amount to.
    """
    outputs, (step, tile) = sums.shape[1], inverse.shape
    rows, columns = -(-height // step), -(-width // step)
    inverse = inverse.astype(sums.dtype)
    tiles = np.einsum(
        "iy,jx,yxot->otij", inverse, inverse, sums.reshape(tile, tile, outputs, rows * columns), optimize=True
    )
    picture = tiles.reshape(outputs, rows, columns, step, step).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(picture.reshape(outputs, step * rows, step * columns)[:, :height, :width])


def direct_convolution(
    array: NDArray[Any], weight: NDArray[Any], *, dilation: int = 1
) -> NDArray[np.float64]:
    """(outputs, height, width) of (inputs, height, width), padded by its dilation, in 64 bits."""
    _, height, width = array.shape
    padding = np.pad(array.astype(np.float64), ((0, 0), (dilation,) * 2, (dilation,) * 2))
    sums = np.zeros((len(weight), height, width))
    for y in range(3):
        for x in range(3):
            part = padding[:, y * dilation : y * dilation + height, x * dilation : x * dilation + width]
            sums += np.einsum("oc,chw->ohw", weight[:, :, y, x].astype(np.float64), part, optimize=True)
    return sums


# G of that section.
_WEIGHT_TRANSFORM = (
    np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float64) / 24
)
# Half a unit in the last of bfloat16's 8 bits, for each of two factors; and a little, for sums in float32.
_BFLOAT16_FACTORS = 2 * 2.0**-8 * 1.01


def bfloat16_bound(
    array: NDArray[Any], weight: NDArray[Any], *, winograd: bool, dilation: int = 1
) -> NDArray[np.float64]:
    """(outputs, height, width): how far off a convolution may be whose products are of numbers rounded to bfloat16."""
    if not winograd:
        return direct_convolution(np.abs(array), np.abs(weight), dilation=dilation) * _BFLOAT16_FACTORS
    factors = np.einsum("iy,jx,ocyx->ijoc", _WEIGHT_TRANSFORM, _WEIGHT_TRANSFORM, weight, optimize=True)
    factors = np.abs(factors).reshape(36, *weight.shape[:2])
    bound = np.zeros((len(weight), *array.shape[1:]))
    for y in range(min(dilation, array.shape[1])):
        for x in range(min(dilation, array.shape[2])):
            phase = array[:, y::dilation, x::dilation]
            tiles = np.abs(transformed(tiles_of(phase.astype(np.float64))))
            sums = np.einsum("poc,pct->pot", factors, tiles, optimize=True)
            bound[:, y::dilation, x::dilation] = inverse_transformed(
                sums, *phase.shape[1:], inverse=np.abs(INVERSE)
            )
    return bound * _BFLOAT16_FACTORS
