from __future__ import annotations

import pytest
from pass_checks import check_left_alone, check_same_numbers, graph, refusal

from small_networks import random_batch
from u2forge.passes.freeze_shapes import FreezeShapes

OPEN = """(float[N, 3, H, W] image) => (float[N, 3, A, B] y) {
    y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (image)
}"""


@pytest.mark.parametrize("batch", [2, None])
def test_same_numbers_at_the_frozen_size(batch: int | None) -> None:
    model = graph(OPEN)
    check_same_numbers(FreezeShapes(batch, 33, 40), model, {"image": random_batch(2, 3, 33, 40)})
    n = "N" if batch is None else batch
    assert str(model.graph.inputs[0].shape) == f"[{n},3,33,40]"
    assert str(model.graph.outputs[0].shape) == f"[{n},3,17,20]"


def test_a_graph_of_that_size_is_left_alone() -> None:
    model = graph(OPEN.replace("[N, 3, H, W]", "[1, 3, 64, 64]").replace("[N, 3, A, B]", "[1, 3, 32, 32]"))
    check_left_alone(FreezeShapes(1, 64, 64), model)
    check_left_alone(FreezeShapes(None, 64, 64), model)


def test_another_fixed_size_is_refused() -> None:
    model = graph(OPEN.replace("[N, 3, H, W]", "[1, 3, 64, 64]"))
    message = refusal(FreezeShapes(1, 64, 320), model)
    assert "expected one input that can be (1, C, 64, 320); found image [1,3,64,64]" in message


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (FreezeShapes(1, 31, 320), "input height: expected 32 to 1024 pixels; found 31"),
        (FreezeShapes(1, 320, 1025), "input width: expected 32 to 1024 pixels; found 1025"),
        (FreezeShapes(0, 320, 320), "batch size: expected 1 to 1024, or dynamic; found 0"),
    ],
)
def test_sizes_beyond_the_limits_are_refused(step: FreezeShapes, message: str) -> None:
    assert message in refusal(step, graph(OPEN))
