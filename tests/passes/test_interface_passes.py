"""Passes at a graph's ends: the network inside computes as before, on inputs and outputs of another kind."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from pass_checks import check_left_alone, graph, operators, refusal

from small_networks import random_batch, run_reference
from u2forge.passes.change_layout import ChangeLayout
from u2forge.passes.change_types import ChangeTypes, narrowed_types
from u2forge.passes.normalize_input import NormalizeInput
from u2forge.passes.reverse_channels import ReverseChannels

TEXT = """(float[2, 3, 5, 6] x, int64[2] k) => (float[2, 2, 5, 6] y, int64[2] twice) {
    y = Conv <pads = [1, 1, 1, 1]> (x, w)
    twice = Add (k, k)
}"""
MEAN, VARIANCE = (100.0, 110.0, 120.0), (2500.0, 2601.0, 2704.0)
K = np.array([3, 4])


def network() -> ir.Model:
    return graph(TEXT, w=random_batch(2, 3, 3, 3))


def expected(x: np.ndarray) -> list[np.ndarray]:
    return run_reference(network(), {"x": x.astype(np.float32), "k": K})


def changed(step: ir.passes.PassBase) -> ir.Model:
    model = network()
    assert step(model).modified
    return model


def test_normalisation_inside_is_normalisation_outside() -> None:
    step = NormalizeInput("x", MEAN, VARIANCE)
    model = changed(step)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 6), np.uint8)
    outside = (pixels - np.reshape(MEAN, (3, 1, 1))) / np.sqrt(np.reshape(VARIANCE, (3, 1, 1)))
    found = run_reference(model, {"x": pixels, "k": K})
    np.testing.assert_allclose(found[0], expected(outside)[0], atol=1e-5)
    assert (model.graph.inputs[0].name, model.graph.inputs[0].dtype) == ("x", ir.DataType.UINT8)
    check_left_alone(step, model)


def test_reversed_channels_are_reversed_inside() -> None:
    model = changed(ReverseChannels("x"))
    x = random_batch(2, 3, 5, 6)
    np.testing.assert_array_equal(run_reference(model, {"x": x[:, ::-1], "k": K})[0], expected(x)[0])
    ReverseChannels("x")(model)
    np.testing.assert_array_equal(run_reference(model, {"x": x, "k": K})[0], expected(x)[0])


def test_another_layout_of_inputs_and_outputs_and_back() -> None:
    model = changed(ChangeLayout("NHWC", ("x",), ("y",)))
    assert [str(value.shape) for value in (model.graph.inputs[0], model.graph.outputs[0])] == [
        "[2,5,6,3]",
        "[2,5,6,2]",
    ]
    x = random_batch(2, 3, 5, 6)
    found = run_reference(model, {"x": x.transpose(0, 2, 3, 1), "k": K})
    np.testing.assert_array_equal(found[0], expected(x)[0].transpose(0, 2, 3, 1))
    ChangeLayout("NCHW", ("x",), ("y",))(model)
    np.testing.assert_array_equal(run_reference(model, {"x": x, "k": K})[0], expected(x)[0])
    check_left_alone(ChangeLayout("NHWC"), network())


def test_other_types_outside() -> None:
    step = ChangeTypes({"x": ir.DataType.FLOAT16}, {"y": ir.DataType.FLOAT16})
    model = changed(step)
    half = random_batch(2, 3, 5, 6).astype(np.float16)
    found = run_reference(model, {"x": half, "k": K})
    np.testing.assert_array_equal(found[0], expected(half)[0].astype(np.float16))
    check_left_alone(step, model)


def test_64_bits_become_32() -> None:
    model = network()
    step = narrowed_types(model)
    assert step(model).modified
    assert operators(model) == ["Cast", "Conv", "Add", "Cast"]
    found = run_reference(model, {"x": random_batch(2, 3, 5, 6), "k": K.astype(np.int32)})
    assert found[1].dtype == np.int32
    np.testing.assert_array_equal(found[1], 2 * K)
    again = narrowed_types(model)
    assert (again.inputs, again.outputs) == ({}, {})


@pytest.mark.parametrize(
    ("step", "wording"),
    [
        (NormalizeInput("z", MEAN, VARIANCE), "one of its inputs x, k; found no such name"),
        (NormalizeInput("k", MEAN, VARIANCE), "expected four axes"),
        (NormalizeInput("x", MEAN[:2], VARIANCE[:2]), "each of its 3 channels; found FLOAT, 2 means"),
        (NormalizeInput("x", MEAN, (1.0, 0.0, 1.0)), "a variance above 0"),
        (ReverseChannels("k"), "expected four axes"),
        (ChangeLayout("NHWC", outputs=("twice",)), "expected four axes"),
        (ChangeLayout("NHWC", outputs=("x",)), "one of its outputs y, twice"),
        (ChangeTypes({"y": ir.DataType.FLOAT16}), "one of its inputs x, k"),
    ],
)
def test_what_the_graph_does_not_have_is_refused(step: ir.passes.PassBase, wording: str) -> None:
    assert wording in refusal(step, network())


def test_channels_that_are_not_three_are_not_reversed() -> None:
    model = graph("(float[1, 4, 2, 2] x) => (float[1, 4, 2, 2] y) { y = Relu (x) }")
    assert "three channels to reverse" in refusal(ReverseChannels("x"), model)
