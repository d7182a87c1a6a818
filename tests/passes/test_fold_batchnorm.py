from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from pass_checks import check_left_alone, check_same_numbers, graph, operators, refusal

from small_networks import random_batch
from u2forge.passes.fold_batchnorm import FoldBatchNorm

FEEDS = {"x": random_batch(1, 2, 5, 5)}
STATISTICS = {
    "gamma": random_batch(3, seed=1),
    "beta": random_batch(3, seed=2),
    "mean": random_batch(3, seed=3),
    "var": np.array([0.3, 1.0, 2.5], np.float32),
}


def network(body: str, **more: Any) -> ir.Model:
    initializers = {"w": random_batch(3, 2, 3, 3), "b": random_batch(3, seed=4)} | STATISTICS | more
    text = f"(float[1, 2, 5, 5] x) => (float[1, 3, 3, 3] y) {{ {body} }}"
    return graph(text, **{name: array for name, array in initializers.items() if name in body})


@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize("epsilon", ["", "<epsilon = 0.01>"])
def test_same_numbers_in_one_convolution(bias: str, epsilon: str) -> None:
    norm = f"BatchNormalization {epsilon} (c, gamma, beta, mean, var)"
    model = network(f"c = Conv(x, w{bias}) n = {norm} y = Relu(n)")
    check_same_numbers(FoldBatchNorm(), model, FEEDS, tolerance=1e-5)
    assert operators(model) == ["Conv", "Relu"]
    assert len(model.graph.initializers) == 2


def test_an_output_keeps_its_name() -> None:
    model = network("c = Conv(x, w, b) y = BatchNormalization(c, gamma, beta, mean, var)")
    check_same_numbers(FoldBatchNorm(), model, FEEDS, tolerance=1e-5)
    assert model.graph.outputs[0].name == "y"


def test_shared_weights_are_split() -> None:
    model = network("""c = Conv(x, w, b) n = BatchNormalization(c, gamma, beta, mean, var)
        d = Conv(x, w, b) y = Add(n, d)""")
    check_same_numbers(FoldBatchNorm(), model, FEEDS, tolerance=1e-5)
    assert len(model.graph.initializers) == 4


def test_a_convolution_that_others_read_is_left_alone() -> None:
    body = "c = Conv(x, w, b) n = BatchNormalization(c, gamma, beta, mean, var) y = Add(n, c)"
    check_left_alone(FoldBatchNorm(), network(body))


def test_a_batch_norm_after_something_else_is_left_alone() -> None:
    body = "c = Conv(x, w, b) r = Relu(c) y = BatchNormalization(r, gamma, beta, mean, var)"
    check_left_alone(FoldBatchNorm(), network(body))


def test_weights_that_are_inputs_are_left_alone() -> None:
    text = """(float[1, 2, 5, 5] x, float[3, 2, 3, 3] w) => (float[1, 3, 3, 3] y) {
        c = Conv(x, w) y = BatchNormalization(c, gamma, beta, mean, var) }"""
    check_left_alone(FoldBatchNorm(), graph(text, **STATISTICS))


def test_training_mode_is_refused() -> None:
    body = "c = Conv(x, w) [bn] y = BatchNormalization <training_mode = 1> (c, gamma, beta, mean, var)"
    message = refusal(FoldBatchNorm(), network(body))
    assert "node 'bn': expected a batch-norm in inference mode; found training mode" in message


def test_a_negative_variance_is_refused() -> None:
    body = "c = Conv(x, w) [bn] y = BatchNormalization(c, gamma, beta, mean, var)"
    message = refusal(FoldBatchNorm(), network(body, var=np.array([1, -2, 1], np.float32)))
    assert "node 'bn', running variance: expected at least 0; found -2" in message
