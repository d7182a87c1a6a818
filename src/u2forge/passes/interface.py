"""What the passes that change a graph's inputs and outputs ask of it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from u2forge.passes.refusal import RefusedGraphError

_PICTURE_AXES = 4


def named(values: Sequence[ir.Value], name: str, *, kind: str) -> ir.Value:
    """The input or output of that name. Raises ModelError where there is none."""
    found = next((value for value in values if value.name == name), None)
    if found is None:
        raise RefusedGraphError(
            where=f"graph, {kind} {name!r}",
            expected=f"one of its {kind}s {', '.join(str(value.name) for value in values)}",
            found="no such name",
            fix=f"name a {kind} that the graph has",
        )
    return found


def picture_input(model: ir.Model, name: str) -> ir.Value:
    """The input of that name, which must have four axes. Raises ModelError."""
    return with_picture_axes(named(model.graph.inputs, name, kind="input"))


def with_picture_axes(value: ir.Value) -> ir.Value:
    """The value itself. Raises ModelError unless it has four axes."""
    if value.shape is None or len(value.shape) != _PICTURE_AXES:
        raise RefusedGraphError(
            where=f"graph, tensor {value.name!r}",
            expected="four axes: a batch of pictures",
            found=f"{value.dtype} {value.shape}",
            fix="leave this tensor as it is",
        )
    return value
