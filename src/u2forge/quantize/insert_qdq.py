"""Quantized layers → one standard ONNX graph: QuantizeLinear and DequantizeLinear around each of them.

Engines recognise the pairs and compute in integers where they can (ONNX: "QDQ format").
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir

from u2forge.passes.surgery import add_initializer, value_names
from u2forge.quantize.affine import Affine
from u2forge.quantize.quantized_layers import QuantizedLayer, QuantizedLayers
from u2forge.quantize.wiring import all_values, layers_reading, mixes, sources

# The first operator set whose QuantizeLinear and DequantizeLinear know 16 bits. Source: ONNX, Operators.md.
_OPSET_OF_16_BITS = 21
_IR_VERSION_OF_16_BITS = 10


def quantized_graph(quantized: QuantizedLayers, *, float_layers: Collection[str] = ()) -> ir.Model:
    """A new graph with the same inputs and outputs, in which all layers but float_layers (by name) are quantized.

    An activation is rounded where at least one quantized layer reads it; a layer that reads it directly and
    stays in float reads it as it was. After an upsampling it is rounded again, so that concatenation joins integers.
    """
    model = quantized.model.clone()
    graph = model.graph
    # Once: to look through the graph for each new name takes longer than all else here.
    taken = value_names(graph)
    for value, affine in _rounded_values(graph, quantized, float_layers):
        _round_value(graph, value, affine, float_layers, taken)
    for node in list(graph):
        if (
            node.op_type == "Conv"
            and str(node.name) in quantized.layers
            and str(node.name) not in float_layers
        ):
            _quantize_weights(graph, node, quantized.layers[str(node.name)], taken)
    if quantized.options.bits == 16:
        model.opset_imports[""] = max(model.opset_imports[""], _OPSET_OF_16_BITS)
        model.ir_version = max(model.ir_version, _IR_VERSION_OF_16_BITS)
    return model


def _rounded_values(
    graph: ir.Graph, quantized: QuantizedLayers, float_layers: Collection[str]
) -> list[tuple[ir.Value, Affine]]:
    found = []
    for value in _candidates(graph, quantized):
        affine = quantized.activations.get(str(sources(value)[0].name))
        readers = {str(layer.name) for layer in layers_reading(value)}
        if affine is not None and any(
            name in quantized.layers and name not in float_layers for name in readers
        ):
            found.append((value, affine))
    return found


def _candidates(graph: ir.Graph, quantized: QuantizedLayers) -> Sequence[ir.Value]:
    """Activations, and what upsampling makes of them; inputs last."""
    values = [
        value for value in all_values(graph) if str(value.name) in quantized.activations or _is_resized(value)
    ]
    return sorted(values, key=lambda value: value.is_graph_input())


def _is_resized(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "Resize" and mixes(node)


def _round_value(
    graph: ir.Graph, value: ir.Value, affine: Affine, float_layers: Collection[str], taken: set[str]
) -> None:
    uses = [
        use for use in value.uses() if not (use.node.op_type == "Conv" and str(use.node.name) in float_layers)
    ]
    name = str(value.name)
    scale = add_initializer(graph, f"{name}.scale", np.array(affine.scale, np.float32), taken=taken)
    zero = add_initializer(
        graph, f"{name}.zero_point", np.array(affine.zero_point, affine.dtype), taken=taken
    )
    quantize = ir.node("QuantizeLinear", [value, scale, zero], name=f"{name}.quantize")
    quantize.outputs[0].name = f"{name}.quantized"
    dequantize = ir.node("DequantizeLinear", [quantize.outputs[0], scale, zero], name=f"{name}.dequantize")
    dequantize.outputs[0].name = f"{name}.dequantized"
    taken |= {f"{name}.quantized", f"{name}.dequantized"}
    for use in uses:
        use.node.replace_input_with(use.idx, dequantize.outputs[0])
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], [quantize, dequantize])
    else:
        graph.insert_after(producer, [quantize, dequantize])


def _quantize_weights(graph: ir.Graph, node: ir.Node, layer: QuantizedLayer, taken: set[str]) -> None:
    weight, bias = node.inputs[1], node.inputs[2]
    assert weight is not None
    assert bias is not None
    name = str(weight.name)
    node.replace_input_with(1, None)
    del graph.initializers[name]
    taken.remove(name)
    levels = add_initializer(graph, name, layer.weights.levels, taken=taken)
    scale = add_initializer(graph, f"{name}.scale", layer.weights.scale, taken=taken)
    zeros = np.zeros(layer.weights.scale.shape, layer.weights.levels.dtype)
    zero = add_initializer(graph, f"{name}.zero_point", zeros, taken=taken)
    axis = {"axis": 0} if layer.weights.scale.ndim else {}
    dequantize = ir.node("DequantizeLinear", [levels, scale, zero], axis, name=f"{name}.dequantize")
    dequantize.outputs[0].name = f"{name}.dequantized"
    taken.add(f"{name}.dequantized")
    graph.insert_before(node, dequantize)
    node.replace_input_with(1, dequantize.outputs[0])
    bias.const_value = ir.Tensor(layer.bias, name=bias.name)
