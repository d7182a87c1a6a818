"""Convolution weights stored as float16 and cast back when the model is loaded: half the file, float32 graph."""

from __future__ import annotations

import logging

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import add_initializer, unused_name

_logger = logging.getLogger(__name__)

# Rounding to float16 changes a number by at most 2^-11 of itself, so a tensor by no more in the mean, unless
# its numbers are below float16's normal range (2^-14).
_LARGEST_ERROR = 2.0**-11


class StoreFp16Weights(ir.passes.InPlacePass):
    """Stores each convolution's weights as float16 behind a Cast; biases, which are few, stay float32.

    A tensor that float16 cannot hold (beyond 65504, or too small to be told from zero) stays float32, and the log
    says which. Refuses weights that are NaN or infinite.
    """

    def requires(self, model: ir.Model) -> None:
        """All convolution weights are finite."""
        for value in _convolution_weights(model):
            if not np.isfinite(_array(value)).all():
                raise RefusedGraphError(
                    where=f"graph, weights {value.name!r}",
                    expected="finite weights",
                    found="NaN or infinity",
                    fix="use weights from before the training diverged",
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Puts a float16 initializer and a Cast in the place of each float32 initializer."""
        weights = _convolution_weights(model)
        kept = [value for value in weights if not _holds(_array(value))]
        if kept:
            names = ", ".join(str(value.name) for value in kept)
            _logger.warning("float16 cannot hold these weights, they stay float32: %s", names)
        stored = [value for value in weights if value not in kept]
        for value in stored:
            _store(model.graph, value)
        return ir.passes.PassResult(model, bool(stored))


def _convolution_weights(model: ir.Model) -> list[ir.Value]:
    """The float32 initializers that are convolution weights and nothing else, each once, in graph order."""
    found: dict[ir.Value, None] = {}
    for node in model.graph:
        value = node.inputs[1] if node.op_type == "Conv" else None
        if value is None or value.const_value is None or value.const_value.dtype != ir.DataType.FLOAT:
            continue
        alone = all(use.node.op_type == "Conv" and use.idx == 1 for use in value.uses())
        if alone and not value.is_graph_input() and not value.is_graph_output():
            found[value] = None
    return list(found)


def _holds(array: NDArray[np.float32]) -> bool:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        return False
    error = np.linalg.norm(array.astype(np.float64) - half)
    return bool(error <= _LARGEST_ERROR * np.linalg.norm(array.astype(np.float64)))


def _store(graph: ir.Graph, value: ir.Value) -> None:
    name = str(value.name)
    uses = list(value.uses())
    half = _array(value).astype(np.float16)
    del graph.initializers[name]
    stored = add_initializer(graph, name, half)
    restored = unused_name(graph, f"{name}.float32")
    cast = ir.node("Cast", [stored], {"to": int(ir.DataType.FLOAT)}, name=restored)
    cast.outputs[0].name = restored
    cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(half.shape)
    # The uses of one initializer are in graph order or not; the cast stands before all of them either way.
    first = next(node for node in graph if any(use.node is node for use in uses))
    graph.insert_before(first, cast)
    for use in uses:
        use.node.replace_input_with(use.idx, cast.outputs[0])


def _array(value: ir.Value) -> NDArray[np.float32]:
    assert value.const_value is not None
    array: NDArray[np.float32] = value.const_value.numpy()
    return array
