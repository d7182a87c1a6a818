"""What rounding adds to the mean, taken off the bias: then a constant input gives exactly what it gave before."""

from __future__ import annotations

import numpy as np
from pass_checks import graph

from small_networks import run_reference
from u2forge.quantize.bias_correction import border_shift, mean_shift
from u2forge.quantize.round_weights import round_weights

CHANNELS, OUTPUTS = 4, 5
MEAN = np.array([0.5, -2.0, 3.0, 0.25])


def convolved(weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The output (O, 7, 7) of a padded convolution for constant inputs."""
    text = f"""(float[1,{CHANNELS},7,7] x) => (float[1,{OUTPUTS},7,7] y) {{
        y = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w, b)
    }}"""
    model = graph(text, w=weights.astype(np.float32), b=bias.astype(np.float32))
    constant = np.broadcast_to(MEAN[None, :, None, None], (1, CHANNELS, 7, 7)).astype(np.float32)
    (output,) = run_reference(model, {"x": constant})
    return output[0]


def exact_and_rounded() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, the same rounded to 7 bits, and a bias."""
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(OUTPUTS, CHANNELS, 3, 3)), random.normal(size=OUTPUTS)
    rounded = round_weights(weights, bits=7, granularity="per_channel", input_power=np.square(MEAN))
    return weights, rounded.values, bias


def test_a_constant_input_gives_the_exact_output_again_away_from_the_border() -> None:
    weights, rounded, bias = exact_and_rounded()
    shift = mean_shift(rounded - weights, MEAN)
    inside = (slice(None), slice(1, -1), slice(1, -1))
    exact = convolved(weights, bias)[inside]
    # Sums of 36 products of float32, of numbers up to 10.
    np.testing.assert_allclose(convolved(rounded, bias - shift)[inside], exact, atol=1e-5)
    assert np.abs(convolved(rounded, bias)[inside] - exact).max() > 1e-3


def test_along_the_border_what_is_left_is_the_border_shift() -> None:
    weights, rounded, bias = exact_and_rounded()
    corrected = convolved(rounded, bias - mean_shift(rounded - weights, MEAN))
    left = corrected - convolved(weights, bias)
    edges = [left[:, 0, 3], left[:, -1, 3], left[:, 3, 0], left[:, 3, -1]]
    found = border_shift(rounded - weights, MEAN)
    np.testing.assert_allclose(found, np.sqrt(np.mean(np.square(edges), axis=0)), atol=1e-5)
    assert found.max() > 1e-2


def test_exact_weights_need_no_correction() -> None:
    none = np.zeros((OUTPUTS, CHANNELS, 3, 3))
    assert not mean_shift(none, MEAN).any()
    assert not border_shift(none, MEAN).any()


def test_the_shift_is_each_kernels_error_times_its_inputs_mean() -> None:
    error = np.zeros((2, CHANNELS, 3, 3))
    error[1, 2, 0, 0], error[1, 1, 2, 1] = 0.5, 0.25
    np.testing.assert_array_equal(mean_shift(error, MEAN), [0, 0.5 * 3 - 0.25 * 2])
