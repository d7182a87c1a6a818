"""What the observed graph reports of a network, against numpy on the network's real activations."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from calibrated_networks import (
    PICTURES,
    calibrated,
    float_graph,
    inner_values,
    observe,
    onnxruntime_session,
    pictures,
    small_graph,
    statistics_of,
)
from numpy.typing import NDArray
from pass_checks import content, graph

from small_networks import random_batch, run_onnxruntime, run_reference, worst_difference
from u2forge.quantize.observe import STATISTICS_NAME, CalibrationBuilder, leaves, observation
from u2forge.quantize.winograd import TRANSFORM
from u2forge.quantize.wiring import activations, quantizable_layers

GRID = 5
# Float32 sums over up to 1551 pixels, of values up to some tens.
SUMS = {"rtol": 1e-4, "atol": 1e-5}


@cache
def real() -> dict[str, list[NDArray[np.float32]]]:
    """All inner values that are observed of the tiny network, by picture."""
    network = float_graph().graph
    layers = quantizable_layers(network)
    names = [found.name for found in activations(network)]
    names += [layer.outputs[0].name for layer in layers]
    names += [leaf.name for layer in layers for leaf in leaves(layer.inputs[0])]
    return inner_values(float_graph(), [str(name) for name in names], pictures())


def tile_maximum(array: NDArray[np.float32]) -> NDArray[np.float64]:
    """(36, C): the largest |BᵀdB| of a (1, C, H, W) array's tiles, one by one."""
    _, channels, height, width = array.shape
    # Beyond what any tile reaches, so that the last ones are whole.
    padded = np.pad(array[0].astype(np.float64), ((0, 0), (1, 8), (1, 8)))
    largest = np.zeros((channels, 6, 6))
    for top in range(0, height, 4):
        for left in range(0, width, 4):
            tile = padded[:, top : top + 6, left : left + 6]
            largest = np.maximum(largest, np.abs(TRANSFORM @ tile @ TRANSFORM.T))
    return largest.reshape(channels, 36).T


def test_every_activation_is_observed_and_no_other() -> None:
    names = [str(found.name) for found in activations(float_graph().graph)]
    assert list(calibrated().activations) == names
    assert len(names) > 100


def test_ranges_are_exactly_those_of_the_activations() -> None:
    for name, found in calibrated().activations.items():
        expected = statistics_of(real()[name])
        np.testing.assert_array_equal(found.low, expected.low, err_msg=name)
        np.testing.assert_array_equal(found.high, expected.high, err_msg=name)


def test_moments_are_the_means_over_pictures_and_pixels() -> None:
    for name, found in calibrated().activations.items():
        expected = statistics_of(real()[name])
        np.testing.assert_allclose(found.mean, expected.mean, err_msg=name, **SUMS)
        np.testing.assert_allclose(found.second_moment, expected.second_moment, err_msg=name, **SUMS)


def test_samples_are_pixels_of_a_grid_with_all_their_channels() -> None:
    for name, found in calibrated().activations.items():
        arrays = real()[name]
        _, channels, height, width = arrays[0].shape
        rows, columns = min(GRID, height), min(GRID, width)
        assert found.samples.shape == (PICTURES * rows * columns, channels)
        taken = [
            array[0, :, int((row + 0.5) * height / rows), int((column + 0.5) * width / columns)]
            for array in arrays
            for row in range(rows)
            for column in range(columns)
        ]
        np.testing.assert_array_equal(found.samples, taken, err_msg=name)


def test_extremes_before_rectification_are_exact() -> None:
    layers = quantizable_layers(float_graph().graph)
    found = calibrated().pre_activations
    assert list(found) == [str(layer.outputs[0].name) for layer in layers]
    for name, (low, high) in found.items():
        expected = statistics_of(real()[name])
        np.testing.assert_array_equal(low, expected.low, err_msg=name)
        np.testing.assert_array_equal(high, expected.high, err_msg=name)
    assert min(low.min() for low, _ in found.values()) < 0


def test_tile_maxima_are_those_of_every_tile() -> None:
    found = calibrated().tile_maxima
    sizes = {real()[name][0].shape[2:] for name in found}
    assert sizes == {(33, 47), (17, 24), (9, 12), (5, 6), (3, 3), (2, 2)}
    for name, maximum in found.items():
        expected = np.max([tile_maximum(array) for array in real()[name]], axis=0)
        # Sums of 36 products of float32.
        np.testing.assert_allclose(maximum, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_tiles_are_observed_of_all_that_undilated_layers_read() -> None:
    layers = [
        layer
        for layer in quantizable_layers(float_graph().graph)
        if layer.attributes["dilations"].as_ints()[0] == 1
    ]
    read = {str(leaf.name) for layer in layers for leaf in leaves(layer.inputs[0])}
    assert set(calibrated().tile_maxima) == read


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (4, 4), (5, 3), (6, 7), (9, 8), (13, 10)])
def test_tiles_of_any_size_and_in_any_corner(size: tuple[int, int]) -> None:
    """One loud pixel in another corner of each channel: a tile left out, or one that wraps, would miss or move it."""
    height, width = size
    same = "kernel_shape=[3,3], pads=[1,1,1,1], strides=[1,1], dilations=[1,1], group=1"
    text = f"""(float[1,4,{height},{width}] image) => (float[1,1,{height},{width}] d0) {{
        [a] a = Conv<{same}>(image, w, b)
        d0 = Sigmoid(a)
    }}"""
    model = graph(text, w=np.zeros((1, 4, 3, 3), np.float32), b=np.zeros(1, np.float32))
    batch = random_batch(1, 4, height, width) / 10
    for channel, (row, column) in enumerate(((0, 0), (0, -1), (-1, 0), (-1, -1))):
        batch[0, channel, row, column] = 50
    found = observe(model, [batch], grid=2).tile_maxima["image"]
    # Sums of 36 products of float32, of up to 25 times 50.
    np.testing.assert_allclose(found, tile_maximum(batch), rtol=1e-5, atol=1e-4)


def test_the_probability_map_comes_beside_the_statistics_as_it_was() -> None:
    watched = observation(small_graph(), grid=GRID, native_ranges=True)
    assert [value.name for value in watched.model.graph.outputs] == ["d0", STATISTICS_NAME]
    feeds = {"image": random_batch(1, 3, 9, 11)}
    d0, statistics = run_onnxruntime(watched.model, feeds)
    # The same operators; other neighbours may be fused otherwise.
    assert worst_difference([d0], run_onnxruntime(small_graph(), feeds)) < 1e-6
    assert statistics.shape == (1, 1, 1, watched.length)
    assert watched.observed[-1].end == watched.length


def test_the_model_given_stays_as_it_is() -> None:
    model = small_graph()
    observation(model, grid=GRID, native_ranges=True)
    assert content(model) == content(small_graph())


def test_a_graph_that_normalises_pictures_itself_is_observed_behind_that() -> None:
    found = calibrated(embedded=True)
    picture = next(iter(found.activations.values()))
    batch = pictures(embedded=True)[0]
    assert batch.dtype == np.uint8
    # (x / max - mean) / std of 0 and of 1, by channel, as the official profile has it.
    np.testing.assert_allclose(
        picture.high, (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], rtol=1e-5
    )
    assert len(picture.samples) == PICTURES * GRID**2
    assert len(found.activations) == len(calibrated().activations)


def test_without_native_ranges_there_are_only_activations() -> None:
    found = observe(small_graph(), [random_batch(1, 3, 9, 11)], grid=3, native_ranges=False)
    assert (found.pre_activations, found.tile_maxima) == ({}, {})
    assert set(found.activations) == {"image", "ra", "rb", "sum", "rd"}


def test_the_observed_graph_is_valid_onnx() -> None:
    """By the checker, and the reference evaluator agrees with ONNX Runtime."""
    watched = observation(small_graph(), grid=3, native_ranges=True)
    feeds = {"image": random_batch(1, 3, 9, 11)}
    # The transform's entries are up to 25 times an activation; float32 in another order.
    assert worst_difference(run_reference(watched.model, feeds), run_onnxruntime(watched.model, feeds)) < 1e-4


def test_a_builder_asked_twice_says_the_same_and_goes_on() -> None:
    watched = observation(small_graph(), grid=3, native_ranges=True)
    session = onnxruntime_session(watched.model)
    builder = CalibrationBuilder(watched.observed)
    batches = [random_batch(1, 3, 9, 11, seed=seed) * (1 + seed) for seed in range(3)]
    answers = [session.run([STATISTICS_NAME], {"image": batch})[0] for batch in batches]
    builder.add(answers[0])
    early = builder.result()
    low, extremes = early.activations["image"].low.copy(), early.pre_activations["a"][0].copy()
    for answer in answers[1:]:
        builder.add(answer)
    assert builder.pictures == 3
    np.testing.assert_array_equal(early.activations["image"].low, low)
    np.testing.assert_array_equal(early.pre_activations["a"][0], extremes)
    assert (builder.result().activations["image"].low < low).all()
