"""What is known before any picture is: sizes, constants, and nothing that could be dangerous to compute."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from u2forge.errors import ModelError
from u2forge.graph.static_values import StaticValues


def graph(text: str) -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 18]>' + text))


def value_named(model: ir.Model, name: str) -> ir.Value:
    return next(value for node in model.graph for value in node.outputs if value.name == name)


def test_fixed_sizes_are_known_where_others_are_open() -> None:
    model = graph("""g (float[N, 3, 20, 30] x) => (float[N, 3, A, B] y) {
        all = Shape(x)
        axis = Constant <value_ints = [2, 3]> ()
        sizes = Gather(all, axis)
        two = Constant <value_ints = [2, 2]> ()
        doubled = Mul(sizes, two)
        y = Resize <axes = [2, 3], mode = "linear"> (x, , , doubled)
    }""")
    values = StaticValues(model)
    assert values.constant(value_named(model, "all")) is None
    assert np.array_equal(values.constant(value_named(model, "doubled")), [40, 60])
    assert values.shape(model.graph.outputs[0]) == (None, 3, 40, 60)


def test_an_asked_shape_stands_in_for_the_declared_one() -> None:
    model = graph("g (float[N, 3, H, W] x) => (float[N, 3, A, B] y) { y = Relu(x) }")
    values = StaticValues(model, input_shapes={"x": (2, 3, 5, 7)})
    assert values.shape(model.graph.outputs[0]) == (2, 3, 5, 7)
    assert values.constant(model.graph.inputs[0]) is None


def test_huge_constants_are_not_computed() -> None:
    model = graph("""g (float[1] x) => (float[N] y) {
        size = Constant <value_ints = [4000000000000]> ()
        zeros = ConstantOfShape(size)
        y = Add(x, zeros)
    }""")
    assert StaticValues(model).constant(value_named(model, "zeros")) is None


def test_random_numbers_are_no_constants() -> None:
    model = graph("g (float[4] x) => (float[4] y) { r = RandomNormal <shape = [4]> () y = Add(x, r) }")
    assert StaticValues(model).constant(value_named(model, "r")) is None


def test_contradicting_shapes_name_the_node() -> None:
    model = graph("g (float[1, 3, 4] x, float[1, 3, 5] z) => (float[A, B, C] y) { [sum] y = Add(x, z) }")
    with pytest.raises(ModelError, match=r"graph, node 'sum' \(Add\): expected .* fit each other; found .*"):
        StaticValues(model)


def test_a_type_that_an_operator_does_not_take_is_an_error() -> None:
    model = graph("g (uint8[4] x) => (uint8[4] y) { [no] y = Sigmoid(x) }")
    with pytest.raises(ModelError, match=r"node 'no' \(Sigmoid\): expected .*; found .*tensor\(uint8\)"):
        StaticValues(model)


def test_a_name_that_is_no_text_is_an_error() -> None:
    model = graph("g (float[4] x) => (float[4] y) { y = Sigmoid(x) }")
    model.graph[0].name = b"\xff"  # type: ignore[assignment]
    with pytest.raises(ModelError, match=r"\(Sigmoid\)"):
        StaticValues(model)


def test_an_operator_unknown_to_onnx_is_an_error_and_a_foreign_one_is_not() -> None:
    model = graph("g (float[4] x) => (float[4] y) { y = Relu(x) }")
    model.graph[0].op_type = "Rleu"
    with pytest.raises(ModelError, match=r"\(Rleu\)"):
        StaticValues(model)
    model.graph[0].domain = "com.example"
    assert StaticValues(model).shape(model.graph.outputs[0]) is None
