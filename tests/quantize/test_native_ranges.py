"""Ranges for integer kernels: those that the equalized graph really reaches, through metadata and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from calibrated_networks import calibrated, float_graph, inner_values, node, pictures, small_graph
from numpy.typing import NDArray

from u2forge.errors import ModelError
from u2forge.quantize.insert_qdq import quantized_graph
from u2forge.quantize.native_ranges import (
    METADATA_KEY,
    NativeRanges,
    add_native_ranges,
    native_ranges,
    read_native_ranges,
)
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.quantized_layers import QuantizedLayers, quantized_layers
from u2forge.quantize.winograd import TRANSFORM
from u2forge.quantize.wiring import sources

# Activations in units of another graph, and sums of 36 products of float32.
FLOAT32 = {"rtol": 2e-4, "atol": 2e-5}


@cache
def layers() -> QuantizedLayers:
    return quantized_layers(float_graph(), calibrated().activations, QuantizeOptions(bits=16))


@cache
def ranges() -> NativeRanges:
    return native_ranges(layers(), calibrated())


@cache
def reached() -> dict[str, list[NDArray[np.float32]]]:
    """What the equalized graph computes of the calibration pictures: every layer's input and output."""
    names = []
    for name in layers().layers:
        layer = node(layers().model, name)
        names += [str(layer.inputs[0].name), str(layer.outputs[0].name)]
    names += list(layers().activations)
    return inner_values(layers().model, names, pictures())


def undilated() -> list[str]:
    return [
        name
        for name in layers().layers
        if node(layers().model, name).attributes["dilations"].as_ints()[0] == 1
    ]


def largest_tiles(arrays: list[NDArray[np.float32]], magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """(36,): the largest |BᵀdB| over tiles, channels and pictures, each channel divided by its largest magnitude."""
    largest = np.zeros((6, 6))
    for array in arrays:
        divided = array[0] / np.where(magnitude > 0, magnitude, 1)[:, None, None]
        padded = np.pad(divided, ((0, 0), (1, 8), (1, 8)))
        for top in range(0, array.shape[2], 4):
            for left in range(0, array.shape[3], 4):
                tile = padded[:, top : top + 6, left : left + 6]
                largest = np.maximum(largest, np.abs(TRANSFORM @ tile @ TRANSFORM.T).max(0))
    return largest.ravel()


def test_channel_ranges_are_those_of_the_equalized_graph() -> None:
    assert set(ranges().channel_low) == set(ranges().channel_high) == set(layers().activations)
    for name, high in ranges().channel_high.items():
        arrays = np.concatenate(reached()[name])
        np.testing.assert_allclose(high, arrays.max((0, 2, 3)), err_msg=name, **FLOAT32)
        np.testing.assert_allclose(ranges().channel_low[name], arrays.min((0, 2, 3)), err_msg=name, **FLOAT32)


def test_ranges_before_rectification_are_those_of_the_equalized_graph() -> None:
    assert set(ranges().pre_activation) == set(layers().layers)
    for name, (low, high) in ranges().pre_activation.items():
        arrays = np.concatenate(reached()[str(node(layers().model, name).outputs[0].name)])
        np.testing.assert_allclose(low, arrays.min((0, 2, 3)), err_msg=name, **FLOAT32)
        np.testing.assert_allclose(high, arrays.max((0, 2, 3)), err_msg=name, **FLOAT32)


def test_tile_maxima_are_those_of_every_undilated_layers_whole_input() -> None:
    assert set(ranges().tile_maximum) == set(undilated())
    assert 90 < len(undilated()) < 118
    for name, found in ranges().tile_maximum.items():
        layer = node(layers().model, name)
        parts = [layers().statistics[str(part.name)] for part in sources(layer.inputs[0])]
        magnitude = np.concatenate([np.maximum(np.abs(part.low), np.abs(part.high)) for part in parts])
        expected = largest_tiles(reached()[str(layer.inputs[0].name)], magnitude)
        assert found.shape == (36,)
        np.testing.assert_allclose(found, expected, err_msg=name, **FLOAT32)


def test_no_tile_can_exceed_what_the_transform_allows() -> None:
    """Channels of magnitude 1: the sum of |Bᵀ| by row, times itself."""
    bound = np.outer(np.abs(TRANSFORM).sum(1), np.abs(TRANSFORM).sum(1)).ravel()
    for name, found in ranges().tile_maximum.items():
        assert (found <= bound * (1 + 1e-6)).all(), name
    # A layer whose input is always zero has none.
    assert max(found.max() for found in ranges().tile_maximum.values()) > 10


def test_ranges_come_back_from_the_metadata() -> None:
    model = quantized_graph(layers())
    add_native_ranges(model, ranges())
    found = read_native_ranges(ir.from_proto(ir.to_proto(model)))
    # Seven digits.
    for kind in ("channel_low", "channel_high", "tile_maximum"):
        expected = getattr(ranges(), kind)
        assert list(getattr(found, kind)) == list(expected)
        for name, array in getattr(found, kind).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-6)
    assert list(found.pre_activation) == list(ranges().pre_activation)
    for name, pair in found.pre_activation.items():
        np.testing.assert_allclose(pair, ranges().pre_activation[name], rtol=1e-6)


def test_the_metadata_is_the_same_each_time() -> None:
    first, second = small_graph(), small_graph()
    add_native_ranges(first, ranges())
    add_native_ranges(second, native_ranges(layers(), calibrated()))
    assert first.metadata_props == second.metadata_props


def read_edited(edit: Callable[[dict[str, Any]], object]) -> NativeRanges:
    model = small_graph()
    add_native_ranges(model, ranges())
    values = json.loads(model.metadata_props[METADATA_KEY])
    edit(values)
    model.metadata_props[METADATA_KEY] = json.dumps(values)
    return read_native_ranges(model)


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda v: v.update(version=2), "version 2"),
        (lambda v: v.pop("version"), "'version'"),
        (lambda v: v.pop("tile_maximum"), "'tile_maximum'"),
        (lambda v: v.update(channel_low=[]), "items"),
        (lambda v: v.update(channel_low={"x": 3}), "a list of finite numbers expected"),
        (lambda v: v.update(channel_low={"x": [[1.0]]}), "a list of finite numbers expected"),
        (lambda v: v.update(channel_low={"x": [float("nan")]}), "a list of finite numbers expected"),
        (lambda v: v.update(channel_high={"x": [float("inf")]}), "a list of finite numbers expected"),
        (lambda v: v.update(channel_high={"x": [10**400]}), "too large"),
        (lambda v: v.update(channel_high={"x": ["high"]}), "high"),
        (lambda v: v.update(channel_high={"x": [None]}), "a list of finite numbers expected"),
        (lambda v: v.update(pre_activation={"x": [[1.0]]}), "unpack"),
        (lambda v: v.update(pre_activation={"x": 1}), "unpack"),
    ],
)
def test_broken_ranges_are_refused(edit: Callable[[dict[str, Any]], object], found: str) -> None:
    with pytest.raises(
        ModelError, match=f"metadata 'u2forge.ranges': expected .* version 1; found .*{found}"
    ):
        read_edited(edit)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"ranges"', "[" * 100_000, '{"version":1}'])
def test_metadata_that_is_no_such_object_is_refused(text: str) -> None:
    model = small_graph()
    model.metadata_props[METADATA_KEY] = text
    with pytest.raises(ModelError, match="expected calibrated ranges, version 1"):
        read_native_ranges(model)


def test_a_model_without_ranges_is_refused_with_the_way_to_get_them() -> None:
    with pytest.raises(
        ModelError, match=r"found no such entry\. To mend: build the model again with a qint16"
    ):
        read_native_ranges(small_graph())
