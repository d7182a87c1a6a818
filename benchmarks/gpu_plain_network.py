"""The float graph as an ordinary PyTorch module: what a program of PyTorch's own would run, batch norms folded."""

from __future__ import annotations

import operator

import numpy as np
import onnx_ir as ir
import torch
from torch import fx, nn
from torch.nn import functional

from u2forge.errors import ModelError
from u2forge.graph.static_values import StaticValues


def plain_network(model: ir.Model) -> fx.GraphModule:
    """float32, of one input and one output. Each value is forgotten after its last reader, as in written code. Raises
    ModelError on other operators than a float U²-Net's."""
    values = StaticValues(model)
    graph, root = fx.Graph(), nn.Module()
    found: dict[ir.Value, fx.Node] = {model.graph.inputs[0]: graph.placeholder("image")}
    for index, node in enumerate(model.graph):
        if node.op_type == "Conv":
            root.add_module(f"convolution{index}", _convolution(node))
            read = node.inputs[0]
            assert read is not None
            found[node.outputs[0]] = graph.call_module(f"convolution{index}", (found[read],))
            continue
        reads = [found[value] for value in node.inputs if value is not None and value in found]
        found[node.outputs[0]] = _call(graph, node, reads, values)
    graph.output(found[model.graph.outputs[0]])
    return fx.GraphModule(root, graph).eval()


def _call(graph: fx.Graph, node: ir.Node, reads: list[fx.Node], values: StaticValues) -> fx.Node:
    if node.op_type == "Relu":
        return graph.call_function(functional.relu, (reads[0],))
    if node.op_type == "MaxPool":
        return graph.call_function(functional.max_pool2d, (reads[0], 2, 2), {"ceil_mode": True})
    if node.op_type == "Resize":
        size = tuple((values.shape(node.outputs[0]) or ())[2:])
        return graph.call_function(
            functional.interpolate,
            (reads[0],),
            {"size": size, "mode": "bilinear", "align_corners": False},
        )
    if node.op_type == "Concat":
        return graph.call_function(torch.cat, (reads, 1))
    if node.op_type == "Add":
        return graph.call_function(operator.add, tuple(reads))
    if node.op_type == "Sigmoid":
        return graph.call_function(torch.sigmoid, (reads[0],))
    raise ModelError(
        where=f"graph, node {node.name!r}",
        expected="an operator of a float U²-Net",
        found=node.op_type,
        fix="measure a model that `u2forge build` made of one",
    )


def _convolution(node: ir.Node) -> nn.Conv2d:
    weight, bias = (_array(value) for value in (*node.inputs, None)[1:3])
    assert weight is not None
    pads = node.attributes.get_ints("pads", (0, 0, 0, 0))
    rows, columns = node.attributes.get_ints("dilations", (1, 1))
    outputs, inputs, height, width = weight.shape
    convolution = nn.Conv2d(
        inputs,
        outputs,
        (height, width),
        padding=(pads[0], pads[1]),
        dilation=(rows, columns),
        bias=bias is not None,
    )
    with torch.no_grad():
        convolution.weight.copy_(weight)
        if convolution.bias is not None and bias is not None:
            convolution.bias.copy_(bias)
    return convolution


def _array(value: ir.Value | None) -> torch.Tensor | None:
    if value is None or value.const_value is None:
        return None
    return torch.from_numpy(np.array(value.const_value.numpy(), np.float32))
