"""Plan → the two tables of whole numbers that the C++ half takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.native.plan import Plan, Step, View

BUFFER_COLUMNS = 6
STEP_COLUMNS = 24
KIND_COLUMN = 0
ALGORITHM_COLUMN = 13
NONE = -1


def encoded_buffers(plan: Plan) -> NDArray[np.int64]:
    """(buffers, 6): layout, count, height, width, input_index, output_index."""
    rows = [
        (
            buffer.layout,
            buffer.count,
            buffer.height,
            buffer.width,
            _number(buffer.input_index),
            _number(buffer.output_index),
        )
        for buffer in plan.buffers
    ]
    return np.array(rows, np.int64).reshape(-1, BUFFER_COLUMNS)


def output_sizes(buffers: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(channels, height, width) of each of the model's outputs. buffers: as encoded_buffers gives them."""
    found = sorted((int(row[5]), tuple(map(int, row[1:4]))) for row in buffers if row[5] != NONE)
    return [(channels, height, width) for _, (channels, height, width) in found]


def encoded_steps(plan: Plan) -> NDArray[np.int64]:
    """(steps, 24): kind; buffer, first, count of source, target, residual, pooled; algorithm, dilation, eight_pairs;
    offsets of weights, multiplier, addend, residual_multiplier; zeros."""
    table = np.zeros((len(plan.steps), STEP_COLUMNS), np.int64)
    for row, step in zip(table, plan.steps, strict=True):
        numbers = _step_row(step)
        row[: len(numbers)] = numbers
    return table


def _step_row(step: Step) -> list[int]:
    views = [_view(view) for view in (step.source, step.target, step.residual, step.pooled)]
    offsets = step.offsets
    return [
        step.kind,
        *(number for view in views for number in view),
        step.algorithm,
        step.dilation,
        step.eight_pairs,
        _number(offsets.weights),
        _number(offsets.multiplier),
        _number(offsets.addend),
        _number(offsets.residual_multiplier),
    ]


def _view(view: View | None) -> tuple[int, int, int]:
    return (NONE, NONE, NONE) if view is None else (view.buffer, view.first, view.count)


def _number(value: int | None) -> int:
    return NONE if value is None else value
