"""The order of steps and the choice of algorithm: less memory, and the same network."""

from __future__ import annotations

import pytest

from u2forge.native.plan import Algorithm, Buffer, Kind, Layout, Step, View
from u2forge.native.schedule import with_algorithms


def algorithm(
    side: int, *, dilation: int = 1, precision: str, residual: bool = False, pooled: bool = False
) -> Algorithm:
    """What is chosen for a convolution of side × side pixels."""
    buffers = [Buffer(Layout.BLOCKED, 2, side, side) for _ in range(4)]
    step = Step(
        Kind.CONVOLUTION,
        "layer",
        source=View(0, 0, 2),
        target=View(1, 0, 2),
        residual=View(2, 0, 2) if residual else None,
        pooled=View(3, 0, 2) if pooled else None,
        algorithm=Algorithm.WINOGRAD if dilation == 1 else Algorithm.DIRECT,
        dilation=dilation,
    )
    return with_algorithms([step], buffers, precision=precision)[0].algorithm


@pytest.mark.parametrize(
    ("side", "dilation", "precision", "expected"),
    [
        (187, 1, "float32", Algorithm.WINOGRAD_6X6),
        (186, 1, "float32", Algorithm.WINOGRAD),
        (320, 1, "bfloat16", Algorithm.WINOGRAD),
        (320, 1, "int16", Algorithm.WINOGRAD),
        (320, 2, "float32", Algorithm.DIRECT),
        (13, 1, "float32", Algorithm.WINOGRAD),
        (12, 1, "float32", Algorithm.DIRECT),
        (12, 1, "bfloat16", Algorithm.WINOGRAD),
        (1, 1, "int16", Algorithm.WINOGRAD),
        (20, 2, "float32", Algorithm.DIRECT),
        (20, 2, "int16", Algorithm.WINOGRAD),
        (20, 2, "bfloat16", Algorithm.WINOGRAD),
        (20, 4, "int16", Algorithm.DIRECT),
        (40, 4, "int16", Algorithm.WINOGRAD),
        (10, 2, "int16", Algorithm.DIRECT),
        (20, 8, "int16", Algorithm.DIRECT),
        (4, 8, "int16", Algorithm.DIRECT),
    ],
)
def test_the_algorithm_follows_size_dilation_and_precision(
    side: int, dilation: int, precision: str, expected: Algorithm
) -> None:
    assert algorithm(side, dilation=dilation, precision=precision) is expected


def test_what_a_form_cannot_do_is_left_to_the_other() -> None:
    assert algorithm(20, dilation=2, precision="int16", residual=True) is Algorithm.DIRECT
    # A direct convolution does not pool.
    assert algorithm(8, precision="float32", pooled=True) is Algorithm.WINOGRAD
    assert algorithm(320, precision="float32", pooled=True) is Algorithm.WINOGRAD_6X6
