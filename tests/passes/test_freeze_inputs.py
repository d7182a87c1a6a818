"""Inputs of any number get the sizes that are asked for, and outputs those that follow."""

from __future__ import annotations

import onnx_ir as ir
from pass_checks import check_left_alone, check_same_numbers, graph, refusal

from small_networks import random_batch
from u2forge.passes.freeze_inputs import FreezeInputs

TEXT = """(float[N, 3, H, W] x, float[N, 3, H, W] z) => (float[N, 3, H, W] y) {
    y = Add (x, z)
}"""


def shapes(model: ir.Model) -> list[str]:
    return [str(value.shape) for value in (*model.graph.inputs, *model.graph.outputs)]


def test_every_input_is_fixed_and_the_output_follows() -> None:
    model = graph(TEXT)
    sizes = {"x": (2, 3, 4, 5), "z": (2, 3, 4, 5)}
    check_same_numbers(
        FreezeInputs(sizes), model, {name: random_batch(*shape) for name, shape in sizes.items()}
    )
    assert shapes(model) == ["[2,3,4,5]"] * 3


def test_open_axes_stay_open_and_fixed_ones_can_be_opened() -> None:
    model = graph(TEXT.replace("N", "1"))
    step = FreezeInputs({"x": (None, 3, 4, 5), "z": (None, 3, 4, 5)})
    step(model)
    assert shapes(model) == ["[N,3,4,5]"] * 3
    check_left_alone(step, model)


def test_an_input_that_is_not_there_or_has_other_axes_is_refused() -> None:
    assert "found inputs x, z" in refusal(FreezeInputs({"a": (1,)}), graph(TEXT))
    assert "an input of 2 axes, (any, 3); found 4 axes" in refusal(
        FreezeInputs({"x": (None, 3)}), graph(TEXT)
    )
