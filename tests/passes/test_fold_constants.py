from __future__ import annotations

import numpy as np
from pass_checks import check_left_alone, check_same_numbers, graph, operators, refusal

from small_networks import random_batch
from u2forge.passes.fold_constants import FoldConstants

# How PyTorch's older exporter sizes an upsampling: nine nodes for one number pair.
EXPORTED_UPSAMPLING = """(float[N, 2, 3, 5] x, float[N, 2, 7, 9] like) => (float[N, 2, A, B] y) {
    two = Constant <value_int = 2> ()
    three = Constant <value_int = 3> ()
    zero = Constant <value_ints = [0]> ()
    shape = Shape(like)
    h = Gather <axis = 0> (shape, two)
    w = Gather <axis = 0> (shape, three)
    h1 = Unsqueeze(h, zero)
    w1 = Unsqueeze(w, zero)
    size = Concat <axis = 0> (h1, w1)
    y = Resize <axes = [2, 3], mode = "linear"> (x, , , size)
}"""


def test_a_chain_of_sizes_becomes_one_constant() -> None:
    model = graph(EXPORTED_UPSAMPLING)
    feeds = {"x": random_batch(2, 2, 3, 5), "like": random_batch(2, 2, 7, 9)}
    check_same_numbers(FoldConstants(), model, feeds)
    assert operators(model) == ["Resize"]
    (size,) = model.graph.initializers.values()
    assert size.const_value is not None
    assert np.array_equal(size.const_value.numpy(), [7, 9])


def test_arithmetic_on_weights_is_done_once() -> None:
    model = graph(
        "(float[2] x) => (float[2] y) { s = Mul(a, b) t = Transpose(s) y = Add(x, t) }",
        a=random_batch(2),
        b=random_batch(2, seed=2),
    )
    check_same_numbers(FoldConstants(), model, {"x": random_batch(2)})
    assert operators(model) == ["Add"]


def test_open_sizes_are_left_alone() -> None:
    text = EXPORTED_UPSAMPLING.replace("[N, 2, 7, 9]", "[N, 2, H, W]")
    model = graph(text)
    FoldConstants()(model)
    check_left_alone(FoldConstants(), model)
    assert operators(model) == ["Shape", "Gather", "Gather", "Unsqueeze", "Unsqueeze", "Concat", "Resize"]


def test_weights_stored_as_float16_stay_small() -> None:
    text = "(float[2] x) => (float[2] y) { w = Cast <to = 1> (half) y = Add(x, w) }"
    check_left_alone(FoldConstants(), graph(text, half=np.float16([1, 2])))


def test_random_numbers_and_constant_outputs_are_left_alone() -> None:
    text = """(float[2] x) => (float[2] y, float[2] z) {
        r = RandomNormal <shape = [2]> () y = Add(x, r) z = Abs(w) }"""
    check_left_alone(FoldConstants(), graph(text, w=random_batch(2)))


def test_contradicting_sizes_are_refused() -> None:
    model = graph("(float[2, 3] x) => (float[2, 4] y) { [sum] y = Add(x, w) }", w=random_batch(2, 4))
    assert "node 'sum' (Add): expected an operator of ONNX whose inputs fit" in refusal(
        FoldConstants(), model
    )
