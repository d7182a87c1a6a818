from __future__ import annotations

from pass_checks import check_left_alone, check_same_numbers, graph, operators, refusal

from small_networks import random_batch, run_reference
from u2forge.passes.keep_outputs import KeepOutputs

TWO_OUTPUTS = """(float[2] x) => (float[2] first, float[2] second) {
    a = Add(x, w)
    first = Relu(a)
    b = Mul(a, v)
    second = Sigmoid(b)
}"""


def test_the_kept_output_is_as_before() -> None:
    feeds = {"x": random_batch(2)}
    model = graph(TWO_OUTPUTS, w=random_batch(2), v=random_batch(2))
    before = run_reference(model, feeds)
    assert KeepOutputs(["first"])(model).modified
    (after,) = run_reference(model, feeds)
    assert (after == before[0]).all()
    assert operators(model) == ["Add", "Relu"]
    assert list(model.graph.initializers) == ["w"]


def test_a_second_run_changes_nothing() -> None:
    model = graph(TWO_OUTPUTS, w=random_batch(2), v=random_batch(2))
    KeepOutputs(["second"])(model)
    check_left_alone(KeepOutputs(["second"]), model)


def test_the_order_is_the_asked_one() -> None:
    model = graph(TWO_OUTPUTS, w=random_batch(2), v=random_batch(2))
    KeepOutputs(["second", "first"])(model)
    assert [value.name for value in model.graph.outputs] == ["second", "first"]


def test_dead_nodes_go_even_when_all_outputs_stay() -> None:
    model = graph("(float[2] x) => (float[2] y) { dead = Relu(x) y = Abs(x) }")
    check_same_numbers(KeepOutputs(["y"]), model, {"x": random_batch(2)})


def test_a_graph_with_just_these_outputs_is_left_alone() -> None:
    model = graph(TWO_OUTPUTS, w=random_batch(2), v=random_batch(2))
    check_left_alone(KeepOutputs(["first", "second"]), model)


def test_a_missing_output_is_refused() -> None:
    model = graph(TWO_OUTPUTS, w=random_batch(2), v=random_batch(2))
    message = refusal(KeepOutputs(["first", "third"]), model)
    assert "expected first, third; found first, second" in message
