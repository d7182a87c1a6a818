"""A plan's tables hold what the C++ half reads, column by column."""

from __future__ import annotations

import numpy as np
import pytest

from u2forge.native.encode import (
    ALGORITHM_COLUMN,
    BUFFER_COLUMNS,
    KIND_COLUMN,
    STEP_COLUMNS,
    encoded_buffers,
    encoded_steps,
)
from u2forge.native.layers import layers_of
from u2forge.native.plan import Algorithm, Buffer, Kind, Layout, Offsets, Plan, Step, View

PLAN = Plan(
    "int16",
    (
        Buffer(Layout.PIXELS, 3, 320, 300, input_index=0),
        Buffer(Layout.BLOCKED, 8, 160, 150),
        Buffer(Layout.PLANAR, 1, 320, 300, output_index=2),
    ),
    (
        Step(
            Kind.CONVOLUTION,
            "conv",
            View(1, 0, 4),
            View(2, 1, 2),
            residual=View(3, 2, 2),
            pooled=View(4, 3, 2),
            algorithm=Algorithm.WINOGRAD,
            dilation=1,
            eight_pairs=8,
            offsets=Offsets(weights=4096, multiplier=64, addend=128, residual_multiplier=0),
        ),
        Step(Kind.SIGMOID, "sigmoid", View(2, 0, 1), View(3, 0, 1)),
    ),
)


def test_buffers() -> None:
    table = encoded_buffers(PLAN)
    assert table.dtype == np.int64
    assert table.tolist() == [[2, 3, 320, 300, 0, -1], [1, 8, 160, 150, -1, -1], [0, 1, 320, 300, -1, 2]]
    assert table.shape[1] == BUFFER_COLUMNS


def test_steps() -> None:
    table = encoded_steps(PLAN)
    assert table.dtype == np.int64
    assert table.flags.c_contiguous
    conv = [2, 1, 0, 4, 2, 1, 2, 3, 2, 2, 4, 3, 2, 1, 1, 8, 4096, 64, 128, 0, 0, 0, 0, 0]
    none = [11, 2, 0, 1, 3, 0, 1, *[-1] * 6, 0, 1, 0, *[-1] * 4, 0, 0, 0, 0]
    assert table.tolist() == [conv, none]
    assert table.shape[1] == STEP_COLUMNS
    assert table[0, [KIND_COLUMN, ALGORITHM_COLUMN]].tolist() == [Kind.CONVOLUTION, Algorithm.WINOGRAD]


def test_an_empty_plan_has_tables_of_no_rows() -> None:
    empty = Plan("float32", (), ())
    assert encoded_buffers(empty).shape == (0, BUFFER_COLUMNS)
    assert encoded_steps(empty).shape == (0, STEP_COLUMNS)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int16"])
def test_layers_say_what_each_step_computes_in(precision: str) -> None:
    conv, sigmoid = layers_of(["conv", "sigmoid"], encoded_steps(PLAN), precision=precision)
    assert (conv.operator, conv.kernel, conv.precision) == ("convolution", "winograd", precision)
    assert (sigmoid.operator, sigmoid.precision) == ("sigmoid", "float32")
    assert conv.is_convolution
    assert not sigmoid.is_convolution


def test_a_kind_that_there_is_not() -> None:
    table = encoded_steps(PLAN)
    table[0, KIND_COLUMN] = 99
    with pytest.raises(ValueError, match="99"):
        layers_of(["conv", "sigmoid"], table, precision="float32")
