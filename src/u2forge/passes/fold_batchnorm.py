"""Conv + BatchNormalization → the one Conv that computes the same."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import add_initializer, drop_unused, replace_value

Float64 = NDArray[np.float64]
# Source: ONNX operator BatchNormalization, attribute epsilon.
_DEFAULT_EPSILON = 1e-5


class FoldBatchNorm(ir.passes.InPlacePass):
    """Folds each batch-norm into the convolution before it, where nobody else reads what is in between.

    Refuses a graph in training mode, whose batch-norms depend on the batch, and a negative variance.
    """

    def requires(self, model: ir.Model) -> None:
        """Batch-norms are in inference mode."""
        for node in model.graph:
            mode = node.attributes.get("training_mode")
            if node.op_type == "BatchNormalization" and mode is not None and mode.as_int():
                raise RefusedGraphError(
                    where=f"graph, node {node.name!r}",
                    expected="a batch-norm in inference mode",
                    found="training mode",
                    fix="export the network after model.eval()",
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Folds them all, in graph order."""
        norms = [node for node in model.graph if _folds(node)]
        for norm in norms:
            _fold(model.graph, norm)
        if norms:
            drop_unused(model)
        return ir.passes.PassResult(model, bool(norms))


def _folds(norm: ir.Node) -> bool:
    if norm.op_type != "BatchNormalization" or norm.domain != "" or len(norm.outputs) != 1:
        return False
    between = norm.inputs[0]
    conv = between.producer() if between is not None else None
    return (
        between is not None
        and conv is not None
        and conv.op_type == "Conv"
        and conv.domain == ""
        and len(between.uses()) == 1
        and not between.is_graph_output()
        and all(_is_constant(value) for value in (*conv.inputs[1:], *norm.inputs[1:]))
    )


def _is_constant(value: ir.Value | None) -> bool:
    return value is None or (value.const_value is not None and not value.is_graph_input())


def _fold(graph: ir.Graph, norm: ir.Node) -> None:
    between = norm.inputs[0]
    conv = between.producer() if between is not None else None
    assert conv is not None
    gamma, beta, mean, variance = (_array(value) for value in norm.inputs[1:])
    epsilon = norm.attributes["epsilon"].as_float() if "epsilon" in norm.attributes else _DEFAULT_EPSILON
    if (variance + epsilon <= 0).any():
        raise RefusedGraphError(
            where=f"graph, node {norm.name!r}, running variance",
            expected="at least 0",
            found=f"{variance.min():g}",
            fix="use weights from before the training diverged",
        )
    # In double precision: the one rounding left is the result's own.
    scale = gamma / np.sqrt(variance + epsilon)
    weight = _array(conv.inputs[1])
    bias = _array(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] is not None else 0.0
    _set_parameter(graph, conv, 1, "weight", weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))
    _set_parameter(graph, conv, 2, "bias", (bias - mean) * scale + beta)
    replace_value(norm.outputs[0], conv.outputs[0])
    graph.remove(norm, safe=True)


def _set_parameter(graph: ir.Graph, conv: ir.Node, index: int, kind: str, array: Float64) -> None:
    if len(conv.inputs) <= index:
        conv.resize_inputs(index + 1)
    old = conv.inputs[index]
    folded = np.asarray(array, np.float32)
    name = str(old.name) if old is not None else f"{conv.name or conv.outputs[0].name}.{kind}"
    if old is not None and len(old.uses()) == 1:
        conv.replace_input_with(index, None)
        del graph.initializers[name]
    conv.replace_input_with(index, add_initializer(graph, name, folded))


def _array(value: ir.Value | None) -> Float64:
    assert value is not None
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), np.float64)
