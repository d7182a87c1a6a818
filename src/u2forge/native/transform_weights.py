"""3×3 kernels → the 36 or 64 numbers of each that F(4×4, 3×3) or F(6×6, 3×3) multiplies transformed tiles with: GgGᵀ.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4.3; the larger one by
the same construction from the points 0, ±1, ±2, ±1/2 and infinity. Kernels are not flipped: a convolution in ONNX is a
cross-correlation, as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TAPS = 9
# G of that section.
TRANSFORM = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float64,
)
LARGE_TRANSFORM = np.array(
    [
        [1, 0, 0],
        [-2 / 9, -2 / 9, -2 / 9],
        [-2 / 9, 2 / 9, -2 / 9],
        [1 / 90, 1 / 45, 2 / 45],
        [1 / 90, -1 / 45, 2 / 45],
        [32 / 45, 16 / 45, 8 / 45],
        [32 / 45, -16 / 45, 8 / 45],
        [0, 0, 1],
    ],
    np.float64,
)
# Columns at a time: 36 · 2048 sums of 8 bytes stay in a processor's second cache. On all of U²-Net, two cores: 0.2 s,
# without 0.45 s.
_COLUMNS = 2048


def transform_taps(
    taps: NDArray[np.float32],
    out: NDArray[Any],
    *,
    transform: NDArray[np.float64] = TRANSFORM,
    stored: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None,
    row_factors: Sequence[float] | None = None,
    column_factors: Sequence[float] | None = None,
) -> None:
    """Writes GgGᵀ of each column of `taps` to the same column of `out`, rounded to float32 once, then as `stored`.

    taps: (9, n), tap 3y + x. out: (36, n), position 6i + j; of LARGE_TRANSFORM (64, n), 8i + j. row_factors,
    column_factors: by i, by j, multiplied in.
    Sums are of 64 bits: in 32 they would be several units off, and it saves nothing (memory is what takes the time).
    """
    rows, columns_of = (
        transform if factors is None else np.reshape(factors, (-1, 1)) * transform
        for factors in (row_factors, column_factors)
    )
    matrix = np.kron(rows, columns_of)
    for first in range(0, taps.shape[1], _COLUMNS):
        some = slice(first, first + _COLUMNS)
        sums = (matrix @ taps[:, some].astype(np.float64)).astype(np.float32)
        out[:, some] = sums if stored is None else stored(sums)
