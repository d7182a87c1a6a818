"""The 16-bit path in plain numpy, step by step as the kernels compute it: what they are measured by.

One picture; levels are int16, (physical channels, height, width), 0…4095. Sums saturate at 32 bits once, at their end:
kernels may do so earlier, and differ then. They may also differ by one level where rounding was a tie but for the last
bit of a float.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from winograd_reference import inverse_transformed, tiles_of, unpacked_weights

from u2forge.native.int16_scales import BALANCE, INPUT_FINER, INPUT_SHIFT, LEVELS
from u2forge.native.plan import Algorithm
from u2forge.quantize.winograd import STEP, TILE, TRANSFORM

Levels = NDArray[np.int16]
_INT16, _INT32 = np.iinfo(np.int16), np.iinfo(np.int32)


def convolution(
    levels: Levels,
    arrays: dict[str, NDArray[Any]],
    algorithm: Algorithm,
    *,
    dilation: int = 1,
    residual: Levels | None = None,
) -> Levels:
    """The levels of a rectified 3×3 convolution, from its packed arrays (the fields of Offsets)."""
    if algorithm is Algorithm.WINOGRAD:
        sums = winograd_sums(levels, arrays["weights"])
    else:
        sums = direct_sums(levels, arrays["weights"], dilation=dilation)
    return finished(sums, arrays, residual=residual)


def finished(
    sums: NDArray[np.float32], arrays: dict[str, NDArray[Any]], *, residual: Levels | None = None
) -> Levels:
    """Levels of sums (outputs, height, width)."""
    values = np.maximum(sums * _by_channel(arrays["multiplier"]) + _by_channel(arrays["addend"]), 0)
    if residual is not None:
        values = values + residual.astype(np.float32) * _by_channel(arrays["residual_multiplier"])
    return rounded(values)


def added(levels: Levels, residual: Levels, arrays: dict[str, NDArray[Any]]) -> Levels:
    """The ADD step."""
    factors = _by_channel(arrays["multiplier"]), _by_channel(arrays["residual_multiplier"])
    return rounded(levels.astype(np.float32) * factors[0] + residual.astype(np.float32) * factors[1])


def rounded(values: NDArray[np.float32]) -> Levels:
    """The nearest levels, of two equally near the even one."""
    return np.clip(np.rint(values), 0, LEVELS).astype(np.int16)


def winograd_sums(levels: Levels, weights: NDArray[np.int16], *, exact: bool = False) -> NDArray[np.float32]:
    """(outputs, height, width) AᵀMA of a convolution of no dilation. exact: sums of products do not saturate."""
    _, height, width = levels.shape
    transformed = transformed_tiles(tiles_of(levels))
    u = unpacked_weights(weights, Algorithm.WINOGRAD, inputs=len(levels), pair=2)
    sums = np.einsum("pct,pco->pot", transformed.astype(np.float64), u, optimize=True)
    if not exact:
        sums = saturated(sums)
    unbalanced = (1 / np.outer(BALANCE, BALANCE)).astype(np.float32).reshape(36, 1, 1)
    return inverse_transformed(sums.astype(np.float32) * unbalanced, height, width)


def transformed_tiles(tiles: Levels) -> NDArray[np.int16]:
    """(36, channels, tiles) of tiles (channels, tiles, 6, 6), rounded half up, saturated; fails where the first pass
    overflows 16 bits."""
    kernel = TRANSFORM.astype(np.int64)
    first = np.einsum("iy,ctyx->ictx", kernel, tiles.astype(np.int64))
    assert first.min(initial=0) >= _INT16.min
    assert first.max(initial=0) <= _INT16.max
    second = np.einsum("jx,ictx->ijct", kernel, first)
    shifts = INPUT_SHIFT - np.add.outer(INPUT_FINER, INPUT_FINER).reshape(TILE, TILE, 1, 1)
    rounded_off = (second + (1 << shifts >> 1)) >> shifts
    return np.clip(rounded_off, _INT16.min, _INT16.max).reshape(36, *second.shape[2:]).astype(np.int16)


def direct_sums(levels: Levels, weights: NDArray[np.int16], *, dilation: int) -> NDArray[np.float32]:
    """(outputs, height, width) sums of products of a convolution that pads by its dilation."""
    _, height, width = levels.shape
    taps = unpacked_weights(weights, Algorithm.DIRECT, inputs=len(levels), pair=2)
    padding = np.pad(levels.astype(np.float64), ((0, 0), (dilation,) * 2, (dilation,) * 2))
    sums = np.zeros((taps.shape[2], height, width))
    for tap, kernel in enumerate(taps):
        y, x = (dilation * offset for offset in divmod(tap, 3))
        sums += np.einsum("co,chw->ohw", kernel, padding[:, y : y + height, x : x + width], optimize=True)
    return saturated(sums).astype(np.float32)


def saturated(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole sums, exact in 64-bit floats, as 32 bits hold them."""
    return np.clip(sums, _INT32.min, _INT32.max)


def _by_channel(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array[:, None, None]


assert STEP == TILE - 2  # the tiles of tiles_of
