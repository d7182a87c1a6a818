"""Channel scales that change nothing: folded into weights, the network's outputs stay what they were."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx_ir as ir
import pytest
from calibrated_networks import (
    calibrated,
    float_graph,
    inner_values,
    observe,
    pictures,
    small_graph,
    statistics_from_values,
    statistics_of,
    value,
)
from pass_checks import content

from small_networks import random_batch, run_onnxruntime, run_reference, worst_difference
from u2forge.quantize.equalize import Scales, channel_scales, fold_channel_scales, scaled_statistics
from u2forge.quantize.wiring import activations, network_input

# Factors from 0.01 to 100 inside 118 layers of float32, probabilities of at most 1.
SAME_OUTPUTS = 2e-5


@cache
def folded(strength: float, *, outputs: str = "d0", embedded: bool = False) -> tuple[ir.Model, Scales]:
    """Shared: tests must leave it as it is."""
    model = float_graph(outputs=outputs, embedded=embedded).clone()
    scales = channel_scales(model.graph, calibrated(embedded=embedded).activations, strength=strength)
    fold_channel_scales(model.graph, scales)
    return model, scales


@pytest.mark.parametrize(("strength", "outputs", "embedded"), [(0.25, "all", False), (1.0, "d0", True)])
def test_folding_leaves_the_outputs_as_they_were(strength: float, outputs: str, embedded: bool) -> None:
    feeds = {"image": pictures(embedded=embedded)[0]}
    model, scales = folded(strength, outputs=outputs, embedded=embedded)
    assert max(np.abs(np.log(factors)).max() for factors in scales.values()) > 0.5
    expected = run_onnxruntime(float_graph(outputs=outputs, embedded=embedded), feeds)
    assert worst_difference(run_onnxruntime(model, feeds), expected) < SAME_OUTPUTS


def test_folding_any_scales_leaves_the_outputs_of_a_small_graph() -> None:
    """By the reference evaluator, with scales that have nothing to do with the ranges."""
    model, feeds = small_graph(), {"image": random_batch(1, 3, 9, 11)}
    expected = run_reference(model, feeds)
    shared = np.array([3.0, 0.2])
    scales = {"ra": shared, "rb": np.array([5.0, 1.0, 0.1]), "rc": shared, "sum": shared}
    fold_channel_scales(model.graph, scales | {"rd": np.array([0.5, 2.0, 7.0, 1.0])})
    # Six layers of float32.
    assert worst_difference(run_reference(model, feeds), expected) < 1e-6


def test_strength_zero_is_the_identity() -> None:
    model, scales = folded(0.0)
    assert all((factors == 1).all() for factors in scales.values())
    assert content(model) == content(float_graph())


def test_the_picture_is_not_scaled() -> None:
    for embedded in (False, True):
        model, scales = folded(1.0, embedded=embedded)
        picture = network_input(model.graph)
        assert picture.name not in scales
        assert set(scales) >= {str(found.name) for found in activations(model.graph) if found is not picture}


def test_the_terms_of_a_residual_sum_share_its_scales() -> None:
    model, scales = folded(1.0)
    sums = [
        found
        for found in model.graph
        if found.op_type == "Add" and not str(found.name).startswith("preprocess")
    ]
    assert len(sums) == 11
    for found in sums:
        for term in found.inputs:
            np.testing.assert_array_equal(scales[term.name], scales[found.outputs[0].name])


def test_scaled_statistics_are_what_the_folded_graph_shows() -> None:
    graph = small_graph()
    feeds = [random_batch(1, 3, 9, 11, seed=seed) for seed in range(2)]
    before = observe(graph, feeds, grid=4).activations
    scales = channel_scales(graph.graph, before, strength=0.7)
    fold_channel_scales(graph.graph, scales)
    after = observe(graph, feeds, grid=4).activations
    expected = scaled_statistics(before, scales)
    assert set(expected) == set(after)
    for name, found in expected.items():
        for figure in ("low", "high", "mean", "second_moment", "samples"):
            # Float32 in another order.
            np.testing.assert_allclose(
                getattr(found, figure), getattr(after[name], figure), rtol=1e-4, atol=1e-5
            )


def test_full_strength_brings_every_channel_to_one() -> None:
    graph = small_graph()
    feeds = [random_batch(1, 3, 9, 11)]
    scales = channel_scales(graph.graph, observe(graph, feeds, grid=4).activations, strength=1.0)
    fold_channel_scales(graph.graph, scales)
    for name, arrays in inner_values(graph, ["rb", "sum", "rd"], feeds).items():
        largest = np.abs(arrays[0]).max((0, 2, 3))
        # A channel of zeros stays one; float32 otherwise.
        np.testing.assert_allclose(largest[largest > 0], 1, rtol=1e-5, err_msg=name)


def test_a_silent_channel_is_not_scaled_up_beyond_a_thousand() -> None:
    graph = small_graph().graph
    loud_and_silent = np.stack([np.full((5, 5), 8.0), np.zeros((5, 5))])[None]
    statistics = {
        str(found.name): statistics_of([np.ones((1, channels, 5, 5))])
        for found, channels in zip(activations(graph), (3, 2, 3, 2, 4), strict=True)
    }
    scales = channel_scales(graph, statistics | {"ra": statistics_of([loud_and_silent])}, strength=1.0)
    # `sum` decides for its terms, of which `ra` is one.
    np.testing.assert_array_equal(scales["ra"], [1, 1])
    scales = channel_scales(graph, statistics | {"sum": statistics_of([loud_and_silent])}, strength=1.0)
    np.testing.assert_allclose(scales["ra"], [8, 8e-3])
    scales = channel_scales(graph, statistics | {"sum": statistics_of([loud_and_silent])}, strength=0.5)
    np.testing.assert_allclose(scales["sum"], [8**0.5, 8e-3**0.5])


def test_a_tensor_of_zeros_is_not_scaled() -> None:
    graph = small_graph().graph
    zeros = {
        str(found.name): statistics_of([np.zeros((1, channels, 5, 5))])
        for found, channels in zip(activations(graph), (3, 2, 3, 2, 4), strict=True)
    }
    assert all((factors == 1).all() for factors in channel_scales(graph, zeros, strength=1.0).values())


def test_negative_values_count_as_large_as_positive_ones() -> None:
    graph = small_graph().graph
    both = np.stack([np.linspace(-6, 1, 9).reshape(3, 3), np.linspace(-1, 3, 9).reshape(3, 3)])[None]
    statistics = {str(found.name): statistics_from_values([1.0]) for found in activations(graph)}
    scales = channel_scales(graph, statistics | {"sum": statistics_of([both])}, strength=1.0)
    np.testing.assert_array_equal(scales["sum"], [6, 3])


def test_the_shape_of_weights_stays() -> None:
    model, _ = folded(1.0)
    for name in ("stage1.rebnconv1.conv_s1.weight", "stage1.rebnconv1.conv_s1.bias"):
        before, after = (
            graph.graph.initializers[name].const_value.numpy() for graph in (float_graph(), model)
        )
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
    assert value(model, "d0").shape == value(float_graph(), "d0").shape
