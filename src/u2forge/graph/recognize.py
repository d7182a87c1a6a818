"""A foreign float ONNX graph → upstream-named arrays, by proof that its structure is U²-Net's.

The graph and one that build.py made are turned into hash-consed expressions at the same input size; only where
those are equal, operator by operator, are the weights taken.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.errors import ModelError
from u2forge.graph.architecture import IMAGE_CHANNELS, Architecture, architecture_of, expected_parameters
from u2forge.graph.build import graph_from_arrays
from u2forge.graph.matched_weights import matched_weights, pairs_of
from u2forge.graph.parameters import fitting_architecture
from u2forge.graph.static_values import StaticValues
from u2forge.graph.structure import Expression, Keys, operator_counts, structure

# For graphs of open size: odd, and different at every level and on both axes, so that no two sizes agree by chance.
_HEIGHT, _WIDTH = 197, 331
# What a U²-Net may have any number of.
_SEEN_THROUGH = frozenset({"BatchNormalization", "Identity", "Dropout"})

Arrays = dict[str, NDArray[np.float32]]


def arrays_from_graph(model: ir.Model, *, where: str = "graph") -> tuple[Architecture, Arrays]:
    """The architecture, and the graph's weights under upstream's names; batch-norms where it has them.

    Accepted is any float32 graph of U²-Net's exact structure, whatever its names, sizes or outputs beside d0.
    Raises ModelError that names the first node which differs.
    """
    _check_opset(model, where)
    shape = _input_shape(model, where)
    keys = Keys()
    values = StaticValues(model, input_shapes={str(model.graph.inputs[0].name): shape})
    theirs = structure(model, values, keys=keys)
    template = _template()
    ours_values = StaticValues(template, input_shapes={"image": shape})
    ours = structure(template, ours_values, keys=keys)
    our_fused = ours[template.graph.outputs[0]]
    fused = _fused_output(model, theirs, our_fused)
    if fused is None:
        counts = operator_counts(model, values), operator_counts(template, ours_values)
        raise _difference(theirs.get(model.graph.outputs[0]), our_fused, counts, where)
    arrays = matched_weights(fused, our_fused, values, where=where)
    shapes = {name: array.shape for name, array in arrays.items()}
    architecture = fitting_architecture(shapes, where=where)
    order = expected_parameters(architecture, batch_norm=any(".bn_s1." in name for name in arrays))
    return architecture, {name: arrays[name] for name in order}


def _check_opset(model: ir.Model, where: str) -> None:
    version = model.opset_imports.get("", 0)
    # Before 11, Resize knew neither sizes nor how pixels are placed, and so could not be U²-Net's.
    if version < 11:
        raise ModelError(
            where=where,
            expected="ONNX operator set 11 or later",
            found=f"operator set {version}",
            fix="export the network again with opset_version=11 or later",
        )


def _input_shape(model: ir.Model, where: str) -> tuple[int, int, int, int]:
    """The one input's shape, with a size put in wherever it is open."""
    inputs, outputs = model.graph.inputs, model.graph.outputs
    shape = inputs[0].shape if len(inputs) == 1 else None
    sizes = [size if isinstance(size, int) else None for size in shape or ()]
    if len(sizes) == 4 and outputs and sizes[1] in (IMAGE_CHANNELS, None):
        return sizes[0] or 1, IMAGE_CHANNELS, sizes[2] or _HEIGHT, sizes[3] or _WIDTH
    found = ", ".join(f"{value.name} {value.dtype}{value.shape}" for value in inputs) or "no input"
    raise ModelError(
        where=where,
        expected="one input (N, 3, H, W), and an output",
        found=f"{found}; {len(outputs)} outputs",
        fix="use a float U²-Net as upstream exports it, without pre- or post-processing in the graph",
    )


def _template() -> ir.Model:
    architecture = architecture_of("template", mids=(1,) * 11, outs=(1,) * 11)
    shapes = expected_parameters(architecture, batch_norm=False)
    return graph_from_arrays(architecture, {name: np.zeros(s, np.float32) for name, s in shapes.items()})


def _fused_output(model: ir.Model, theirs: dict[ir.Value, Expression], ours: Expression) -> Expression | None:
    """Their d0; outputs beside it tell nothing more of the weights."""
    outputs = [theirs.get(value) for value in model.graph.outputs]
    return next((output for output in outputs if output is not None and output.key == ours.key), None)


def _difference(
    theirs: Expression | None, ours: Expression, counts: tuple[Counter[str], Counter[str]], where: str
) -> ModelError:
    while (
        theirs is not None and theirs.signature == ours.signature and len(theirs.inputs) == len(ours.inputs)
    ):
        different = [(their, own) for their, own in pairs_of(theirs, ours) if their.key != own.key]
        if not different:
            break
        theirs, ours = different[0]
    place = "" if theirs is None or theirs.node is None else f", node {theirs.node.name!r}"
    name = "input" if ours.node is None else str(ours.node.name)
    return ModelError(
        where=f"{where}{place}",
        expected=f"U²-Net: {ours} ({name}), of {len(ours.inputs)} inputs",
        found=f"{theirs or 'a constant'}"
        + (f", of {len(theirs.inputs)} inputs" if theirs else "")
        + _counted(*counts),
        fix="use a float U²-Net as upstream exports it: another network, or a changed one, cannot be built",
    )


def _counted(theirs: Counter[str], ours: Counter[str]) -> str:
    different = [
        f"{theirs[name]} {name} in place of {ours[name]}"
        for name in sorted({*theirs, *ours} - _SEEN_THROUGH)
        if theirs[name] != ours[name]
    ]
    return f" (in all: {', '.join(different[:8])})" if different else " (the operator counts agree)"
