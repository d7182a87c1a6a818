"""Every layer's integers and every activation's range: by the options, in the units of the equalized graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from calibrated_networks import (
    calibrated,
    float_graph,
    observe,
    small_calibrated,
    small_graph,
    statistics_of,
    weights_of,
)
from pass_checks import content

from small_networks import random_batch
from u2forge.errors import ModelError
from u2forge.quantize.affine import activation_affine
from u2forge.quantize.bias_correction import border_shift, mean_shift
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.quantized_layers import FRAGILE, QuantizedLayers, quantized_layers
from u2forge.quantize.ranges import Range, range_of
from u2forge.quantize.tensor_statistics import TensorStatistics
from u2forge.quantize.wiring import range_groups


def small(*, custom_ranges: dict[str, Range] | None = None, **options: Any) -> QuantizedLayers:
    seen = small_calibrated().activations
    chosen = QuantizeOptions(**({"algorithm": "linear", "equalize": 0.25} | options))
    return quantized_layers(small_graph(), seen, chosen, custom_ranges=custom_ranges)


def only_ranges(high: float) -> dict[str, TensorStatistics]:
    """What is known where nothing but ranges was given."""
    channels = {"image": 3, "ra": 2, "rb": 3, "sum": 2, "rd": 4}
    return {
        name: TensorStatistics(
            np.full(count, -high if name == "image" else 0.0),
            np.full(count, high),
            np.zeros(count),
            np.ones(count),
            np.zeros((0, count), np.float32),
        )
        for name, count in channels.items()
    }


def test_the_layers_are_all_that_can_be_quantized_in_graph_order() -> None:
    assert list(small().layers) == ["a", "b", "c", "d", "e", "f"]
    found = quantized_layers(float_graph(), calibrated().activations, QuantizeOptions())
    assert len(found.layers) == 118
    assert next(iter(found.activations)) == "image"


def test_the_model_given_stays_as_it_is() -> None:
    model = small_graph()
    quantized_layers(model, small_calibrated().activations, QuantizeOptions())
    assert content(model) == content(small_graph())


def test_a_graph_with_a_foreign_operator_is_refused() -> None:
    with pytest.raises(ModelError, match="node 'b_relu'"):
        quantized_layers(small_graph(rectifier="LeakyRelu"), {}, QuantizeOptions())


@pytest.mark.parametrize("scheme", ["asymmetric", "symmetric"])
@pytest.mark.parametrize("algorithm", ["linear", "eqnm"])
def test_what_is_concatenated_shares_the_union_of_its_ranges(algorithm: Any, scheme: Any) -> None:
    found = small(algorithm=algorithm, activations=scheme)
    for group in range_groups(found.model.graph):
        ranges = [
            range_of(found.statistics[str(value.name)], algorithm=algorithm, bits=8, scheme=scheme)
            for value in group
        ]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        expected = activation_affine(low, high, bits=8, scheme=scheme)
        assert [found.activations[str(value.name)] for value in group] == [expected] * len(group)


def test_the_ranges_are_those_of_the_equalized_graph() -> None:
    found, plain = small(equalize=0.5), small(equalize=0)
    assert found.statistics["sum"].high.max() < plain.statistics["sum"].high.max()
    np.testing.assert_allclose(
        found.statistics["sum"].high * found.scales["sum"], plain.statistics["sum"].high
    )
    assert found.activations["sum"].high == pytest.approx(found.statistics["sum"].high.max())


@pytest.mark.parametrize(
    ("options", "largest", "dtype", "kinds"),
    [
        ({}, 63, np.int8, {"uint8"}),
        ({"weight_bits": 8}, 127, np.int8, {"uint8"}),
        ({"activations": "symmetric"}, 63, np.int8, {"uint8", "int8"}),
        ({"bits": 16}, 32767, np.int16, {"uint16"}),
        ({"bits": 16, "weight_bits": 8, "activations": "symmetric"}, 32767, np.int16, {"uint16", "int16"}),
    ],
)
def test_the_bits_are_those_of_the_options(
    options: dict[str, Any], largest: int, dtype: Any, kinds: set[str]
) -> None:
    found = small(**options)
    levels = [layer.weights.levels for layer in found.layers.values()]
    assert {array.dtype for array in levels} == {np.dtype(dtype)}
    assert max(int(np.abs(array.astype(int)).max()) for array in levels) == largest
    assert {affine.dtype for affine in found.activations.values()} == kinds


def test_a_symmetric_picture_is_signed_and_rectified_tensors_are_not() -> None:
    found = small(activations="symmetric").activations
    assert {name: affine.dtype for name, affine in found.items()} == {
        "image": "int8",
        "ra": "uint8",
        "rb": "uint8",
        "sum": "uint8",
        "rd": "uint8",
    }
    assert {affine.zero_point for affine in found.values()} == {0}


def test_weights_are_those_of_the_equalized_graph_rounded() -> None:
    found = small(bits=16, equalize=0.5)
    for name, layer in found.layers.items():
        exact = weights_of(found.model)[f"{name}_w"]
        step = layer.weights.scale.reshape(-1, 1, 1, 1)
        assert (np.abs(layer.weights.values - exact) <= step * (1 + 1e-6)).all()


def test_biases_are_corrected_by_the_mean_of_their_own_inputs() -> None:
    found, uncorrected = small(), small(bias_correction=False)
    inputs = {"a": ["image"], "b": ["ra"], "c": ["rb", "ra"], "d": ["sum"], "e": ["rd"], "f": ["sum"]}
    for name, layer in found.layers.items():
        bias = weights_of(found.model)[f"{name}_b"]
        np.testing.assert_array_equal(uncorrected.layers[name].bias, bias)
        error = layer.weights.values - weights_of(found.model)[f"{name}_w"]
        mean = np.concatenate([found.statistics[part].mean for part in inputs[name]])
        # One rounding to float32.
        np.testing.assert_allclose(layer.bias, bias - mean_shift(error, mean), rtol=1e-6, atol=1e-7)
        assert layer.bias.dtype == np.float32
        assert (layer.bias != bias).any()


def test_more_bits_give_a_better_signal_to_noise_ratio() -> None:
    """Each bit halves the step, and so is worth 6 dB: one bit of the weights, eight and more of both."""
    seven, eight, sixteen = small(), small(weight_bits=8), small(bits=16)
    for name in seven.layers:
        gained = eight.layers[name].weight_snr_db - seven.layers[name].weight_snr_db
        # Of some tens of weights the rounding errors are as chance has it.
        assert 1 < gained < 13
        assert sixteen.layers[name].weight_snr_db - eight.layers[name].weight_snr_db > 35
        assert eight.layers[name].input_snr_db == seven.layers[name].input_snr_db
        assert sixteen.layers[name].input_snr_db - eight.layers[name].input_snr_db == pytest.approx(48, abs=8)
    assert 20 < seven.layers["a"].weight_snr_db < 60
    assert 20 < seven.layers["a"].input_snr_db < 60


def test_weights_that_lose_nothing_are_said_to() -> None:
    model = small_graph()
    whole = np.random.default_rng(0).integers(-63, 64, (2, 3, 3, 3)).astype(np.float32)
    whole[:, 0, 0, 0] = 63
    model.graph.initializers["a_w"].const_value = ir.Tensor(whole, name="a_w")
    seen = observe(model, [random_batch(1, 3, 9, 11)], grid=4).activations
    found = quantized_layers(model, seen, QuantizeOptions(equalize=0)).layers["a"]
    assert found.weight_snr_db == np.inf
    np.testing.assert_array_equal(found.bias, weights_of(model)["a_b"])


def test_custom_ranges_take_the_place_of_the_calibrated_ones_in_the_models_own_units() -> None:
    custom = {"image": (-2.0, 3.0), "ra": (0.0, 4.0), "rb": (0.0, 4.0), "sum": (0.0, 5.0), "rd": (0.0, 1.0)}
    found = small(custom_ranges=custom)
    assert all((factors == 1).all() for factors in found.scales.values())
    for name, (low, high) in custom.items():
        assert found.activations[name] == activation_affine(low, high, bits=8, scheme="asymmetric")


@pytest.mark.parametrize("wider", ["ra", "rb"])
def test_the_wider_of_two_concatenated_tensors_decides(wider: str) -> None:
    custom = {"ra": (0.0, 400.0), "rb": (0.0, 400.0)} | {wider: (0.0, 900.0)}
    found = small(custom_ranges=custom).activations
    assert found["ra"] == found["rb"] == activation_affine(0, 900, bits=8, scheme="asymmetric")


def test_one_custom_range_leaves_the_others_calibrated() -> None:
    found, plain = small(custom_ranges={"rd": (0.0, 123.0)}), small(equalize=0)
    assert found.activations["rd"].high == pytest.approx(123)
    assert found.activations["sum"] == plain.activations["sum"]


def test_ranges_alone_are_enough_and_correct_no_bias() -> None:
    model = small_graph()
    custom = {name: (float(found.low[0]), float(found.high[0])) for name, found in only_ranges(4.0).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = quantized_layers(model, only_ranges(4.0), QuantizeOptions(), custom_ranges=custom)
    for name, layer in found.layers.items():
        np.testing.assert_array_equal(layer.bias, weights_of(model)[f"{name}_b"])
        assert np.isfinite(layer.weight_snr_db)
        assert layer.input_snr_db == np.inf


def test_a_network_that_is_all_zero_is_quantized_without_a_warning() -> None:
    model = small_graph()
    seen = observe(model, [np.zeros((1, 3, 9, 11), np.float32)], grid=4).activations
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = quantized_layers(model, seen, QuantizeOptions())
    assert all(np.isfinite(layer.bias).all() for layer in found.layers.values())
    assert all(affine.scale > 0 for affine in found.activations.values())


def large_and_constant(*, spread: float) -> QuantizedLayers:
    """Of which `f` reads, beside an ordinary channel, one that is 500 everywhere; it gives logits, which vary by 1."""
    seen = dict(small_calibrated().activations)
    pixels = random_batch(1, 2, 9, 11)
    pixels[0, 0] = 500 + spread * pixels[0, 0]
    seen["sum"] = statistics_of([pixels])
    return quantized_layers(small_graph(), seen, QuantizeOptions(equalize=0, algorithm="linear"))


def test_the_border_error_is_what_correction_leaves_there_over_what_the_output_varies_by() -> None:
    found = small()
    inputs = {"a": ["image"], "b": ["ra"], "c": ["rb", "ra"], "d": ["sum"], "e": ["rd"], "f": ["sum"]}
    # `rc` is no activation, but the sum that it becomes is; `e` and `f` give logits.
    outputs = {"a": "ra", "b": "rb", "c": "sum", "d": "rd", "e": None, "f": None}
    for name, layer in found.layers.items():
        error = layer.weights.values - weights_of(found.model)[f"{name}_w"]
        mean = np.concatenate([found.statistics[part].mean for part in inputs[name]])
        output = outputs[name]
        variance = found.statistics[output].variance.sum() if output is not None else 1.0
        expected = np.sqrt(np.square(border_shift(error, mean)).sum() / variance)
        assert layer.border_error == pytest.approx(expected)


def test_a_layer_with_a_large_constant_input_is_fragile() -> None:
    assert small().fragile == ()
    found = large_and_constant(spread=0.01)
    assert "f" in found.fragile
    assert all(
        (found.layers[name].border_error > FRAGILE) == (name in found.fragile) for name in found.layers
    )


def test_with_16_bits_no_layer_is_fragile() -> None:
    assert small(bits=16).fragile == ()
    assert max(layer.border_error for layer in small(bits=16).layers.values()) < 1e-3


def test_a_layer_whose_output_never_varies_has_no_border_error() -> None:
    model = small_graph()
    seen = observe(model, [np.zeros((1, 3, 9, 11), np.float32)], grid=4).activations
    dead = seen | {"ra": statistics_of([np.zeros((1, 2, 9, 11))])}
    assert quantized_layers(model, dead, QuantizeOptions()).layers["a"].border_error == 0
