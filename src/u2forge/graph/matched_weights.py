"""Two structures proven equal → the weights of the one under the names of the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.errors import ModelError
from u2forge.graph.architecture import BATCH_NORM_EPSILON, BATCH_NORM_PARAMETERS
from u2forge.graph.state_dict import identity_batch_norm
from u2forge.graph.static_values import StaticValues
from u2forge.graph.structure import Expression

Arrays = dict[str, NDArray[np.float32]]


def pairs_of(theirs: Expression, ours: Expression) -> list[tuple[Expression, Expression]]:
    """The inputs of two operations side by side; an Add's terms are brought into our order."""
    inputs = list(theirs.inputs)
    if ours.signature[0] == "Add" and len(inputs) == 2:
        straight = inputs[0].key == ours.inputs[0].key or inputs[1].key == ours.inputs[1].key
        crossed = inputs[0].key == ours.inputs[1].key or inputs[1].key == ours.inputs[0].key
        if crossed and not straight:
            inputs.reverse()
    return list(zip(inputs, ours.inputs, strict=True))


def matched_weights(theirs: Expression, ours: Expression, values: StaticValues, *, where: str) -> Arrays:
    """The weights of `theirs` under the module paths of `ours`: two expressions of equal keys.

    Batch-norms come for all blocks or for none. Raises ModelError where weights are reduced or not finite.
    """
    arrays: Arrays = {}
    taken: dict[str, Expression] = {}
    for expression, own in _matched(theirs, ours):
        if own.signature[0] != "Conv" or own.node is None:
            continue
        module = str(own.node.name)
        if taken.setdefault(module, expression) is not expression:
            raise _twofold(module, taken[module], expression, where)
        arrays |= _convolution_arrays(expression, module, values, where)
    return _complete(arrays)


def _matched(theirs: Expression, ours: Expression) -> Iterator[tuple[Expression, Expression]]:
    waiting, seen = [(theirs, ours)], set()
    while waiting:
        pair = waiting.pop()
        key = (id(pair[0]), id(pair[1]))
        if key not in seen:
            seen.add(key)
            yield pair
            waiting.extend(pairs_of(*pair))


def _convolution_arrays(expression: Expression, module: str, values: StaticValues, where: str) -> Arrays:
    node, norm = expression.node, expression.batch_norm
    assert node is not None
    weight = _float_array(node.inputs[1], values, where)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    zeros = np.zeros(weight.shape[0], np.float32)
    arrays = {f"{module}.weight": weight, f"{module}.bias": zeros}
    if bias is not None:
        arrays[f"{module}.bias"] = _float_array(bias, values, where)
    if norm is not None:
        prefix = module.removesuffix("conv_s1") + "bn_s1"
        for name, value in zip(BATCH_NORM_PARAMETERS, norm.inputs[1:], strict=True):
            arrays[f"{prefix}.{name}"] = _float_array(value, values, where)
        epsilon = (
            norm.attributes["epsilon"].as_float() if "epsilon" in norm.attributes else BATCH_NORM_EPSILON
        )
        if abs(epsilon - BATCH_NORM_EPSILON) > 1e-9:
            # Upstream's epsilon is not a parameter: another one goes into the variance.
            shift = np.float32(epsilon - BATCH_NORM_EPSILON)
            arrays[f"{prefix}.running_var"] = arrays[f"{prefix}.running_var"] + shift
    return arrays


def _float_array(value: ir.Value | None, values: StaticValues, where: str) -> NDArray[np.float32]:
    array = values.constant(value)
    assert value is not None
    assert array is not None
    producer = value.producer()
    reduced = producer is not None and producer.op_type in (
        "Cast",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
    )
    if reduced or array.dtype not in (np.float32, np.float64):
        raise ModelError(
            where=f"{where}, weights {value.name!r}",
            expected="float32 weights",
            found=f"weights stored as {producer.inputs[0].dtype}"
            if producer and producer.inputs[0]
            else str(array.dtype),
            fix="build from the original checkpoint or float graph: precision that was lost does not come back",
        )
    if not np.isfinite(array).all():
        raise ModelError(
            where=f"{where}, weights {value.name!r}",
            expected="finite weights",
            found="NaN or infinity",
            fix="use weights from before the training diverged",
        )
    return np.ascontiguousarray(array, np.float32)


def _complete(arrays: Arrays) -> Arrays:
    """Gives every block an identity batch-norm where only some blocks have one."""
    blocks = [name.removesuffix(".conv_s1.bias") for name in arrays if name.endswith(".conv_s1.bias")]
    if not any(".bn_s1." in name for name in arrays):
        return arrays
    for block in blocks:
        if f"{block}.bn_s1.weight" not in arrays:
            arrays |= identity_batch_norm(f"{block}.bn_s1", arrays[f"{block}.conv_s1.bias"].size)
    return arrays


def _twofold(module: str, first: Expression, second: Expression, where: str) -> ModelError:
    nodes = " and ".join(repr(e.node.name) for e in (first, second) if e.node is not None)
    return ModelError(
        where=where,
        expected=f"one convolution in the place of {module}",
        found=f"two that compute with separate weights: {nodes}",
        fix="export the network again from its original checkpoint",
    )
