from __future__ import annotations

import logging

import numpy as np
import onnx_ir as ir
import pytest
from pass_checks import check_left_alone, check_same_numbers, graph, operators, refusal

from small_networks import random_batch
from u2forge.passes.store_fp16_weights import StoreFp16Weights

FEEDS = {"x": random_batch(1, 2, 4, 4)}
TWO_CONVOLUTIONS = """(float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) {
    c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
    y = Conv <pads = [1, 1, 1, 1]> (c, v)
}"""


def network(first: np.ndarray, second: np.ndarray | None = None) -> ir.Model:
    if second is None:
        return graph(TWO_CONVOLUTIONS.replace("(c, v)", "(c, w)"), w=first, b=random_batch(2))
    return graph(TWO_CONVOLUTIONS, w=first, v=second, b=random_batch(2))


def test_same_numbers_within_half_precision() -> None:
    model = network(random_batch(2, 2, 3, 3), random_batch(2, 2, 3, 3, seed=2))
    # 18 products, each with weights off by at most 2^-11, in two convolutions, on values up to about 20.
    check_same_numbers(StoreFp16Weights(), model, FEEDS, tolerance=0.1)
    assert operators(model) == ["Cast", "Conv", "Cast", "Conv"]
    types = {name: value.dtype for name, value in model.graph.initializers.items()}
    assert types == {"w": ir.DataType.FLOAT16, "v": ir.DataType.FLOAT16, "b": ir.DataType.FLOAT}


def test_weights_that_float16_holds_exactly_keep_every_bit() -> None:
    exact = random_batch(2, 2, 3, 3).astype(np.float16).astype(np.float32)
    check_same_numbers(StoreFp16Weights(), network(exact, exact), FEEDS, tolerance=0)


def test_shared_weights_are_stored_once() -> None:
    model = network(random_batch(2, 2, 3, 3))
    check_same_numbers(StoreFp16Weights(), model, FEEDS, tolerance=0.1)
    assert operators(model) == ["Cast", "Conv", "Conv"]


@pytest.mark.parametrize("scale", [1e6, 1e-9], ids=["too large", "too small"])
def test_what_float16_cannot_hold_is_left_alone_and_named(
    scale: float, caplog: pytest.LogCaptureFixture
) -> None:
    weights = random_batch(2, 2, 3, 3) * np.float32(scale)
    with caplog.at_level(logging.WARNING):
        check_left_alone(StoreFp16Weights(), network(weights, weights))
    assert "float16 cannot hold these weights, they stay float32: w, v" in caplog.text


def test_zeros_are_held() -> None:
    zeros = np.zeros((2, 2, 3, 3), np.float32)
    check_same_numbers(StoreFp16Weights(), network(zeros, zeros), FEEDS, tolerance=0)


def test_weights_that_something_else_reads_are_left_alone() -> None:
    text = """(float[1, 2, 4, 4] x) => (float[1, 2, 2, 2] y, float z) {
        y = Conv(x, w)
        z = ReduceSum <keepdims = 0> (w)
    }"""
    check_left_alone(StoreFp16Weights(), graph(text, w=random_batch(2, 2, 3, 3)))


def test_not_finite_weights_are_refused() -> None:
    weights = random_batch(2, 2, 3, 3)
    weights[0, 0, 0, 0] = np.inf
    message = refusal(StoreFp16Weights(), network(weights, weights))
    assert "weights 'w': expected finite weights; found NaN or infinity" in message
