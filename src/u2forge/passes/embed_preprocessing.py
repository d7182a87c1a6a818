"""The official normalisation, put inside the graph: 8-bit NHWC RGB pictures in, each divided by its own maximum.

Source: upstream data_loader.py, ToTensorLab: image / max(image), then (x - mean) / std for each channel. The mean
is not folded into the first convolution: at the border that one reads zeros, which then stood for the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from u2forge.graph.build import INPUT_NAME
from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import add_initializer, unused_name
from u2forge.profiles import MEAN_RGB, STD_RGB


class EmbedPreprocessing(ir.passes.InPlacePass):
    """Turns the input from float32 (N, 3, H, W), normalised, to uint8 (N, H, W, 3) RGB named "image".

    A black picture stays zero before mean and deviation, and no NaN. A graph with such an input already is left
    alone; one with any other is refused.
    """

    def requires(self, model: ir.Model) -> None:
        """One input, of the one kind or the other, and ReduceMax as operator set 18 has it."""
        inputs, opset = model.graph.inputs, model.opset_imports.get("", 0)
        if opset >= 18 and len(inputs) == 1 and (_is_float_nchw(inputs[0]) or _is_byte_nhwc(inputs[0])):
            return
        found = ", ".join(f"{value.name} {value.dtype}{value.shape}" for value in inputs) or "no input"
        raise RefusedGraphError(
            where="graph, input",
            expected="one input float32 (N, 3, H, W), in operator set 18 or later",
            found=f"{found}, in operator set {opset}",
            fix="start from the float graph that u2forge exports",
        )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Puts the chain before the first node."""
        graph = model.graph
        normalized = graph.inputs[0]
        if _is_byte_nhwc(normalized):
            return ir.passes.PassResult(model, False)
        assert normalized.shape is not None
        n, c, h, w = normalized.shape
        if normalized.name == INPUT_NAME:
            normalized.name = unused_name(graph, f"{INPUT_NAME}.normalized")
        pixels = ir.Value(
            name=INPUT_NAME, shape=ir.Shape([n, h, w, c]), type=ir.TensorType(ir.DataType.UINT8)
        )
        nodes = _chain(graph, pixels)
        result = nodes[-1].outputs[0]
        ir.convenience.replace_all_uses_with(normalized, result)
        graph.inputs[0] = pixels
        result.name, result.shape, result.type = normalized.name, normalized.shape, normalized.type
        graph.insert_before(graph[0], nodes)
        return ir.passes.PassResult(model, True)


def _is_float_nchw(value: ir.Value) -> bool:
    shape = value.shape
    return value.dtype == ir.DataType.FLOAT and shape is not None and len(shape) == 4 and shape[1] == 3


def _is_byte_nhwc(value: ir.Value) -> bool:
    shape = value.shape
    return value.dtype == ir.DataType.UINT8 and shape is not None and len(shape) == 4 and shape[3] == 3


def _chain(graph: ir.Graph, pixels: ir.Value) -> list[ir.Node]:
    """Transpose, Cast, divide by each picture's maximum, and (x - mean) / std as one Mul and one Add."""
    mean, deviation = np.array(MEAN_RGB), np.array(STD_RGB)
    nodes: list[ir.Node] = []

    def add(op_type: str, name: str, inputs: list[ir.Value], **attributes: Any) -> ir.Value:
        name = f"preprocess.{name}"
        node = ir.node(op_type, inputs, attributes, name=name)
        node.outputs[0].name = unused_name(graph, name)
        nodes.append(node)
        return node.outputs[0]

    def constant(name: str, array: Any) -> ir.Value:
        return add_initializer(graph, f"preprocess.{name}", array)

    x = add("Transpose", "transpose", [pixels], perm=[0, 3, 1, 2])
    x = add("Cast", "cast", [x], to=int(ir.DataType.FLOAT))
    largest = add("ReduceMax", "maximum", [x, constant("axes", np.array([1, 2, 3]))], keepdims=1)
    # Of whole numbers only 0 is below 1: a black picture is then divided by 1.
    largest = add("Max", "divisor", [largest, constant("one", np.ones(1, np.float32))])
    x = add("Div", "divide", [x, largest])
    scale = constant("scale", (1 / deviation).astype(np.float32).reshape(1, 3, 1, 1))
    x = add("Mul", "multiply", [x, scale])
    add("Add", "add", [x, constant("offset", (-mean / deviation).astype(np.float32).reshape(1, 3, 1, 1))])
    return nodes
