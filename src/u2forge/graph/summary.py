"""A graph → what it is made of: operators, parameters, bytes and multiply-accumulates, in all and by layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from u2forge.errors import InputError
from u2forge.graph.static_values import Shape, StaticValues

# The size that the family was trained at, for graphs of open size. Source: upstream u2net_test.py.
DEFAULT_SIZE = 320


@dataclass(frozen=True)
class LayerSummary:
    """One node. macs: multiply-accumulates for one picture; weight_bytes: as stored, shared ones in each layer."""

    name: str
    operator: str
    output_shape: Shape | None
    kernel: tuple[int, ...] | None
    dilation: tuple[int, ...] | None
    macs: int
    parameters: int
    weight_bytes: int


@dataclass(frozen=True)
class GraphSummary:
    """A whole graph, for one picture of height x width pixels. nodes: all there are; operators: how many of each.

    height, width: None where its inputs are not one batch of pictures; then for one of a batch."""

    height: int | None
    width: int | None
    nodes: int
    operators: dict[str, int]
    parameters: int
    weight_bytes: int
    macs: int
    layers: tuple[LayerSummary, ...]


def summarize(model: ir.Model, *, height: int | None = None, width: int | None = None) -> GraphSummary:
    """The summary of a graph, float or quantized; with one picture input it may be NCHW or NHWC.

    height, width: for axes that the graph leaves open (None: 320); layers: nodes that do work for each picture.
    Raises InputError where the graph is fixed to another size, ModelError where its shapes contradict.
    """
    if _is_of_one_picture(model) or (height, width) != (None, None):
        shape, height, width = _input_shape(model, height, width)
        shapes = {str(model.graph.inputs[0].name): shape}
    else:
        shapes = {
            str(value.name): _of_batch_one(value) for value in model.graph.inputs if value.shape is not None
        }
    values = StaticValues(model, input_shapes=shapes)
    working = [node for node in model.graph if node.outputs and values.constant(node.outputs[0]) is None]
    layers = tuple(_layer(node, values) for node in working)
    weights = {id(value): value for node in working for value in _weights(node)}.values()
    return GraphSummary(
        height=height,
        width=width,
        nodes=model.graph.num_nodes(),
        operators=dict(Counter(node.op_type for node in model.graph).most_common()),
        parameters=sum(_size(value) for value in weights),
        weight_bytes=sum(_bytes(value) for value in weights),
        macs=sum(layer.macs for layer in layers),
        layers=layers,
    )


def _is_of_one_picture(model: ir.Model) -> bool:
    inputs = model.graph.inputs
    return len(inputs) == 1 and inputs[0].shape is not None and len(inputs[0].shape) == 4


def _of_batch_one(value: ir.Value) -> Shape:
    sizes = [size if isinstance(size, int) else None for size in value.shape or ()]
    return tuple(1 if axis == 0 else size for axis, size in enumerate(sizes))


def _input_shape(model: ir.Model, height: int | None, width: int | None) -> tuple[Shape, int, int]:
    declared = model.graph.inputs[0].shape if len(model.graph.inputs) == 1 else None
    if declared is None or len(declared) != 4:
        raise InputError(
            where="summary",
            expected="a graph with one picture input of four axes",
            found=", ".join(f"{value.name} {value.shape}" for value in model.graph.inputs) or "no input",
            fix="summarize a U²-Net graph or an offline model",
        )
    sizes = [size if isinstance(size, int) else None for size in declared]
    channels_last = sizes[3] == 3 and sizes[1] != 3
    rows, columns = (1, 2) if channels_last else (2, 3)
    for axis, asked, name in ((rows, height, "height"), (columns, width, "width")):
        if asked is not None and sizes[axis] not in (None, asked):
            raise InputError(
                where="summary",
                expected=f"{name} {sizes[axis]}, which the graph is fixed to",
                found=str(asked),
                fix=f"leave {name} out",
            )
        sizes[axis] = sizes[axis] or asked or DEFAULT_SIZE
    sizes[0] = 1
    return tuple(sizes), int(sizes[rows] or 0), int(sizes[columns] or 0)


def _layer(node: ir.Node, values: StaticValues) -> LayerSummary:
    weights = list(_weights(node))
    output = values.shape(node.outputs[0])
    kernel, macs = None, 0
    if node.op_type == "Conv" and node.inputs[1] is not None:
        shape = values.shape(node.inputs[1]) or ()
        kernel = tuple(size or 0 for size in shape[2:])
        # Each output element takes one input window: (in / group) x kernel.
        macs = math.prod(size or 0 for size in (*(output or (0,)), *shape[1:]))
    dilations = node.attributes["dilations"].as_ints() if "dilations" in node.attributes else (1, 1)
    return LayerSummary(
        name=node.name or "",
        operator=node.op_type,
        output_shape=output,
        kernel=kernel,
        dilation=tuple(dilations) if kernel else None,
        macs=macs,
        parameters=sum(_size(value) for value in weights),
        weight_bytes=sum(_bytes(value) for value in weights),
    )


def _weights(node: ir.Node) -> Iterator[ir.Value]:
    """The initializers that a node reads, also through a cast or a dequantization; sizes and axes are none."""
    for value in node.inputs:
        if value is None:
            continue
        producer = value.producer()
        if producer is not None and producer.op_type in ("Cast", "DequantizeLinear"):
            value = producer.inputs[0]
        if value is not None and value.const_value is not None and value.dtype != ir.DataType.INT64:
            yield value


def _size(value: ir.Value) -> int:
    return int(value.const_value.size) if value.const_value is not None else 0


def _bytes(value: ir.Value) -> int:
    return int(value.const_value.nbytes) if value.const_value is not None else 0
