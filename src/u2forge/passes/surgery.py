"""Small edits of a graph that several passes need: a named constant in, a value replaced, what is unused out."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass


def add_initializer(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """A new initializer; its name gets a number where the graph has that name already."""
    name = unused_name(graph, name)
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(
        name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape)
    )
    graph.register_initializer(value)
    return value


def unused_name(graph: ir.Graph, name: str) -> str:
    """The name itself, or with the first number that makes it new among the graph's values."""
    taken = {str(value.name) for value in (*graph.inputs, *graph.initializers.values())}
    taken |= {str(value.name) for node in graph for value in node.outputs}
    number = 1
    candidate = name
    while candidate in taken:
        number += 1
        candidate = f"{name}.{number}"
    return candidate


def replace_value(old: ir.Value, new: ir.Value) -> None:
    """Every reader of `old` reads `new`; a graph output keeps its place, and `new` takes its name there."""
    name, was_output = old.name, old.is_graph_output()
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    if was_output:
        old.name = None
        new.name = name
        new.shape, new.type = new.shape or old.shape, new.type or old.type


def drop_unused(model: ir.Model) -> bool:
    """Removes nodes and initializers that no output depends on; whether there were any."""
    return RemoveUnusedNodesPass()(model).modified
