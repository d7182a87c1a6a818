"""Grouped convolutions and batches: what a U²-Net does not have is observed and rounded right, too."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from calibrated_networks import observe
from pass_checks import graph

from small_networks import random_batch, run_reference, worst_difference
from u2forge.passes.own_parameters import OwnParameters
from u2forge.quantize.insert_qdq import quantized_graph
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.quantized_layers import quantized_layers

SHAPE = (2, 4, 6, 5)


def grouped() -> ir.Model:
    """Two groups of two channels; the second group's inputs are a hundred times larger."""
    model = graph(
        """(float[2,4,6,5] image) => (float[2,6,6,5] y) {
            [scale] s = Mul(image, factors)
            [first] a = Conv<pads=[1,1,1,1], group=2>(s, w)
            [swish] h = HardSwish(a)
            [second] y = Conv<pads=[1,1,1,1], group=6>(h, v)
        }""",
        w=random_batch(6, 2, 3, 3),
        v=random_batch(6, 1, 3, 3, seed=2),
        factors=np.array([1, 1, 100, 100], np.float32).reshape(1, 4, 1, 1),
    )
    OwnParameters()(model)
    return model


def test_a_batch_is_observed_as_its_pictures() -> None:
    model = grouped()
    x = random_batch(*SHAPE)
    seen = observe(model, [x], grid=3, native_ranges=False).activations["s"]
    inner = x * np.array([1, 1, 100, 100], np.float32).reshape(1, 4, 1, 1)
    np.testing.assert_allclose(seen.mean, inner.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen.high, inner.max((0, 2, 3)), rtol=1e-6)
    assert seen.samples.shape == (2 * 3 * 3, 4)


def test_grouped_layers_are_rounded_by_their_own_inputs() -> None:
    model = grouped()
    pictures = [random_batch(*SHAPE, seed=seed) for seed in range(3)]
    seen = observe(model, pictures, grid=6, native_ranges=False).activations
    found = quantized_layers(model, seen, QuantizeOptions(equalize=0.0, bits=16))
    assert list(found.layers) == ["first", "second"]
    assert found.layers["first"].weights.levels.shape == (6, 2, 3, 3)
    quantized = quantized_graph(found)
    feeds = {"image": pictures[0]}
    # A step of 16 bits over the inputs' common range.
    assert worst_difference(run_reference(quantized, feeds), run_reference(model, feeds)) < 0.5


def test_the_mean_error_of_each_output_is_of_its_own_group() -> None:
    model = grouped()
    seen = observe(model, [random_batch(*SHAPE)], grid=6, native_ranges=False).activations
    with_correction = quantized_layers(model, seen, QuantizeOptions(equalize=0.0)).layers["first"]
    without = quantized_layers(model, seen, QuantizeOptions(equalize=0.0, bias_correction=False)).layers[
        "first"
    ]
    weight = next(node for node in model.graph if node.name == "first").inputs[1].const_value.numpy()
    error = with_correction.weights.values - weight
    mean = seen["s"].mean
    expected = [error[o].sum((1, 2)) @ mean[2 * (o // 3) : 2 * (o // 3) + 2] for o in range(6)]
    np.testing.assert_allclose(without.bias - with_correction.bias, expected, rtol=1e-4, atol=1e-5)
