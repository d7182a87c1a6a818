from __future__ import annotations

import numpy as np
import pytest
from pass_checks import check_left_alone, check_same_numbers, graph, operators, refusal

from small_networks import random_batch
from u2forge.passes.remove_identities import RemoveIdentities

FEEDS = {"x": random_batch(1, 2, 3, 4)}


def body(nodes: str) -> str:
    return f"(float[1, 2, 3, 4] x) => (float[1, 2, 3, 4] y) {{ {nodes} }}"


@pytest.mark.parametrize(
    "identity",
    [
        "Identity(a)",
        "Dropout(a)",
        "Cast <to = 1> (a)",
        "Concat <axis = 1> (a)",
        'Resize <mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"> (a, , , size)',
    ],
)
def test_same_numbers_without_it(identity: str) -> None:
    initializers = {"size": np.array([1, 2, 3, 4])} if "size" in identity else {}
    model = graph(body(f"a = Abs(x) b = {identity} y = Sqrt(b)"), **initializers)
    check_same_numbers(RemoveIdentities(), model, FEEDS)
    assert operators(model) == ["Abs", "Sqrt"]


def test_chains_and_outputs_keep_their_names() -> None:
    model = graph(body("a = Abs(x) b = Identity(a) c = Dropout(b) y = Identity(c)"))
    check_same_numbers(RemoveIdentities(), model, FEEDS)
    assert operators(model) == ["Abs"]
    assert model.graph.outputs[0].name == "y"


def test_one_that_joins_an_input_to_an_output_is_left_alone() -> None:
    check_left_alone(RemoveIdentities(), graph(body("y = Identity(x)")))


def test_one_between_two_outputs_is_left_alone() -> None:
    text = "(float[2] x) => (float[2] y, float[2] z) { y = Abs(x) z = Identity(y) }"
    check_left_alone(RemoveIdentities(), graph(text))


@pytest.mark.parametrize(
    "other",
    [
        "Cast <to = 10> (x)",
        'Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (x, , , size)',
    ],
)
def test_what_changes_numbers_is_left_alone(other: str) -> None:
    initializers = {"size": np.array([1, 2, 3, 4])} if "size" in other else {}
    back = "Cast <to = 1> (a)" if "Cast" in other else "Abs(a)"
    check_left_alone(RemoveIdentities(), graph(body(f"a = {other} y = {back}"), **initializers))


def test_a_dropout_whose_mask_is_read_is_left_alone() -> None:
    text = "(float[2] x) => (float[2] y, bool[2] m) { a = Abs(x) b, m = Dropout(a) y = Sqrt(b) }"
    check_left_alone(RemoveIdentities(), graph(text))


def test_dropout_in_training_is_refused() -> None:
    model = graph(
        body("a = Abs(x) [drop] y = Dropout(a, ratio, training)"),
        ratio=np.float32(0.5),
        training=np.bool_(True),
    )
    message = refusal(RemoveIdentities(), model)
    assert "node 'drop': expected Dropout in inference mode; found training mode" in message
