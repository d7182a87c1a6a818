"""Fixes the sizes of a graph's inputs, any number of them, and its outputs to what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from u2forge.graph.static_values import Shape, StaticValues
from u2forge.passes.refusal import RefusedGraphError

# The name of an open first axis: the same for all inputs, whose batches go together.
_BATCH = "N"


@dataclass(frozen=True)
class FreezeInputs(ir.passes.InPlacePass):
    """Sets each named input to its shape, None within one leaves that axis open; what the graph said before gives way.

    Refuses an input that is not there or has another number of axes.
    """

    shapes: Mapping[str, Shape]

    def requires(self, model: ir.Model) -> None:
        """The inputs are there, with so many axes."""
        inputs = {str(value.name): value for value in model.graph.inputs}
        for name, wanted in self.shapes.items():
            value = inputs.get(name)
            if value is not None and (value.shape is None or len(value.shape) == len(wanted)):
                continue
            found = f"inputs {', '.join(inputs)}" if value is None else f"{len(value.shape or ())} axes"
            raise RefusedGraphError(
                where=f"graph, input {name!r}",
                expected=f"an input of {len(wanted)} axes, {_shown(wanted)}",
                found=found,
                fix="give the sizes of an input that the graph has, one for each of its axes",
            )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Sets the sizes; inner values lose theirs, as they may be out of date."""
        modified = False
        for value in model.graph.inputs:
            if str(value.name) in self.shapes:
                frozen = _frozen(value, self.shapes[str(value.name)])
                modified = modified or frozen != value.shape
                value.shape = frozen
        if modified:
            for node in model.graph:
                for output in node.outputs:
                    if not output.is_graph_output():
                        output.shape = None
        _set_output_shapes(model)
        return ir.passes.PassResult(model, modified)


def _frozen(value: ir.Value, wanted: Shape) -> ir.Shape:
    sizes: list[int | str | ir.SymbolicDim | None] = []
    for axis, size in enumerate(wanted):
        said = None if value.shape is None else value.shape[axis]
        if size is not None:
            sizes.append(size)
        elif isinstance(said, ir.SymbolicDim):
            sizes.append(said)
        else:
            sizes.append(_BATCH if axis == 0 else f"{value.name}.{axis}")
    return ir.Shape(sizes)


def _set_output_shapes(model: ir.Model) -> None:
    values = StaticValues(model)
    first = next((value.shape[0] for value in model.graph.inputs if value.shape), None)
    batch = None if isinstance(first, int) else first
    for output in model.graph.outputs:
        sizes = values.shape(output)
        if sizes is not None:
            output.shape = ir.Shape(
                [batch if axis == 0 and size is None else size for axis, size in enumerate(sizes)]
            )


def _shown(shape: Shape) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
