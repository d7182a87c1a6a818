"""Small edits of a graph that several passes need: a named constant in, a value replaced, what is unused out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass


def add_initializer(
    graph: ir.Graph, name: str, array: NDArray[Any], *, taken: set[str] | None = None
) -> ir.Value:
    """A new initializer; its name gets a number where the graph has that name already.

    taken: the graph's `value_names`, where many are added; the new name joins it.
    """
    if taken is None:
        taken = value_names(graph)
    name = new_name(name, taken)
    taken.add(name)
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(
        name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape)
    )
    graph.register_initializer(value)
    return value


def value_names(graph: ir.Graph) -> set[str]:
    """The names of the graph's inputs, initializers and results of nodes."""
    results = (value for node in graph for value in node.outputs)
    return {str(value.name) for value in (*graph.inputs, *graph.initializers.values(), *results)}


def unused_name(graph: ir.Graph, name: str) -> str:
    """The name itself, or with the first number that makes it new among the graph's values."""
    return new_name(name, value_names(graph))


def new_name(name: str, taken: Collection[str]) -> str:
    """The name itself, or with the first number that makes it another than those taken."""
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


def put_before_input(
    graph: ir.Graph,
    name: str,
    nodes: Callable[[ir.Value], list[ir.Node]],
    *,
    dtype: ir.DataType,
    shape: ir.Shape,
) -> None:
    """A new input under the name of an old one, with nodes in between: the last one's output takes the old one's place.

    nodes: makes them of the new input; they are already wired to each other.
    """
    index, inner = next((i, value) for i, value in enumerate(graph.inputs) if value.name == name)
    inner.name = unused_name(graph, f"{name}.inner")
    outer = ir.Value(name=name, shape=shape, type=ir.TensorType(dtype))
    added = nodes(outer)
    result = added[-1].outputs[0]
    ir.convenience.replace_all_uses_with(inner, result, replace_graph_outputs=True)
    graph.inputs[index] = outer
    result.name, result.shape, result.type = inner.name, inner.shape, inner.type
    if len(graph):
        graph.insert_before(graph[0], added)
    else:  # an input that is an output
        graph.extend(added)


def put_behind_output(
    graph: ir.Graph,
    name: str,
    node: Callable[[ir.Value], ir.Node],
    *,
    dtype: ir.DataType,
    shape: ir.Shape | None,
) -> None:
    """A node behind an output, whose result takes its name and place; what else reads the value reads it as before."""
    index, inner = next((i, value) for i, value in enumerate(graph.outputs) if value.name == name)
    inner.name = unused_name(graph, f"{name}.inner")
    added = node(inner)
    outer = added.outputs[0]
    outer.name, outer.shape, outer.type = name, shape, ir.TensorType(dtype)
    graph.append(added)
    graph.outputs[index] = outer


def as_list(make: Callable[[ir.Value], ir.Node]) -> Callable[[ir.Value], list[ir.Node]]:
    """What makes one node, as put_before_input takes it."""
    return lambda value: [make(value)]
