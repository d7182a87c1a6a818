"""What rounding a layer's weights adds to its mean output: taken off its bias inside, told where it cannot be.

Source: Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction" (ICCV 2019), section 4.2,
with the input's mean as calibration saw it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def mean_shift(weight_error: Float64, input_mean: Float64) -> Float64:
    """(O,): by how much weights that are off by weight_error (O, I, kh, kw) move each output channel's mean,
    for inputs of mean (I,), or (O, I) by output. Padding, at the borders only, is not counted."""
    return summed_over_inputs(weight_error.sum((2, 3)), input_mean)


def summed_over_inputs(weights: Float64, inputs: Float64) -> Float64:
    """(O,): the products of (O, I) weights with inputs (I,), or (O, I) where each output has inputs of its own."""
    if inputs.ndim == 1:
        return np.asarray(weights @ inputs)
    return np.asarray((weights * inputs).sum(1))


def border_shift(weight_error: Float64, input_mean: Float64) -> Float64:
    """(O,): what is left of that shift along the picture's border once mean_shift has been taken off everywhere.

    There, padding takes the place of one row or column of the kernel, and its errors no longer add up to mean_shift:
    the root mean square over the four edges. A channel that is large and nearly constant, as networks use it to tell
    the border from the inside, makes this large however little the layer's inputs vary.
    """
    by_input = "i" if input_mean.ndim == 1 else "oi"
    by_tap = np.einsum(f"oikl,{by_input}->okl", weight_error, input_mean)
    whole = by_tap.sum((1, 2))
    edges = [
        by_tap[:, 1:].sum((1, 2)),
        by_tap[:, :-1].sum((1, 2)),
        by_tap[:, :, 1:].sum((1, 2)),
        by_tap[:, :, :-1].sum((1, 2)),
    ]
    return np.asarray(np.sqrt(np.mean([np.square(edge - whole) for edge in edges], axis=0)))
