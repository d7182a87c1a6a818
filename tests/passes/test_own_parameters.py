"""Convolutions of any graph get names, biases and weights of their own."""

from __future__ import annotations

from pass_checks import check_left_alone, check_same_numbers, graph

from small_networks import random_batch
from u2forge.passes.own_parameters import OwnParameters, has_own_weights

SHARED = """(float[1, 3, 5, 6] x) => (float[1, 3, 5, 6] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w)
    r = Relu (a)
    y = Conv <pads = [1, 1, 1, 1]> (r, w, b)
}"""


def test_shared_weights_and_missing_biases() -> None:
    model = graph(SHARED, w=random_batch(3, 3, 3, 3), b=random_batch(3))
    check_same_numbers(OwnParameters(), model, {"x": random_batch(1, 3, 5, 6)})
    first, _, second = model.graph
    assert {node.name for node in model.graph} == {"conv.0", "relu.1", "conv.2"}
    assert first.inputs[1] is not second.inputs[1]
    for node in (first, second):
        assert has_own_weights(node)
        assert (
            list(node.attributes["kernel_shape"].as_ints()),
            list(node.attributes["dilations"].as_ints()),
        ) == (
            [3, 3],
            [1, 1],
        )


def test_equal_names_are_told_apart() -> None:
    model = graph(
        SHARED.replace("a = Conv", "[same] a = Conv").replace("r = Relu", "[same] r = Relu"),
        w=random_batch(3, 3, 3, 3),
        b=random_batch(3),
    )
    OwnParameters()(model)
    assert len({node.name for node in model.graph}) == 3


def test_other_convolutions_are_left_alone() -> None:
    line = graph(
        "(float[1, 2, 5] x) => (float[1, 2, 5] y) { [c] y = Conv <pads = [1, 1]> (x, w) }",
        w=random_batch(2, 2, 3),
    )
    check_left_alone(OwnParameters(), line)
    computed = graph(
        """(float[1, 2, 5, 5] x, float[2, 2, 3, 3] w) => (float[1, 2, 5, 5] y) {
            [c] y = Conv <pads = [1, 1, 1, 1]> (x, w)
        }"""
    )
    check_left_alone(OwnParameters(), computed)
    assert not any(has_own_weights(node) for model in (line, computed) for node in model.graph)
