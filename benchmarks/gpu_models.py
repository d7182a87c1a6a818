"""A model file, float or 8-bit → the float models that the GPU benchmark measures, made anew in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.errors import ModelError
from u2forge.graph.read_onnx import read_onnx
from u2forge.graph.summary import summarize
from u2forge.model_file.read import ModelFile, open_model_file
from u2forge.model_file.write import write_model
from u2forge.passes.surgery import add_initializer, drop_unused, replace_value
from u2forge.precision import FloatMode, quantized_bits

FLOAT32, FLOAT16 = "float32", "float16"
_MODES: dict[str, FloatMode] = {FLOAT32: "force_float32", FLOAT16: "force_float16"}


@dataclass(frozen=True)
class MeasuredModels:
    """graph: float32, of which both files are made, by the precision that they ask for; quantized: an 8-bit file, or
    None; weights: where the numbers come from; gflop: of one picture, a product and its sum counted as two."""

    graph: ir.Model
    files: Mapping[str, ModelFile]
    quantized: ModelFile | None
    weights: str
    gflop: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's pictures."""
        spec = self.files[FLOAT32].manifest.inputs[0]
        assert spec.height is not None
        assert spec.width is not None
        return spec.height, spec.width


def measured_models(path: Path, quantized: Path | None, folder: Path) -> MeasuredModels:
    """The models of that file, in the folder. An 8-bit file gives its weights, restored to float32 without what rounds
    activations, and is the quantized one, too, where no other is named. Raises ModelError."""
    given = open_model_file(path)
    spec = given.manifest.inputs[0]
    if (spec.dtype, spec.batch_size, given.manifest.interface) != ("float32", None, "pictures"):
        raise ModelError(
            where=f"model file {path}",
            expected="a model of pictures, float32, of any batch",
            found=str(spec),
            fix="build it with --batch-size dynamic and without --embed-preprocessing",
        )
    graph, weights = _float_graph(read_onnx(path)), f"{given.manifest.precision} of {path.name}"
    is_quantized = quantized_bits(given.manifest.precision) is not None
    if is_quantized:
        weights += ", restored to float32; what rounds activations is left out"
    if quantized is None and is_quantized:
        quantized = path
    files = {}
    for name, mode in _MODES.items():
        target = folder / f"{name}.onnx"
        write_model(graph, replace(given.manifest, precision=mode, quantization=None), target)
        files[name] = open_model_file(target)
    return MeasuredModels(
        graph=read_onnx(files[FLOAT32].path),
        files=files,
        quantized=None if quantized is None else open_model_file(quantized),
        weights=weights,
        gflop=summarize(graph).macs * 2 / 1e9,
    )


def _float_graph(model: ir.Model) -> ir.Model:
    """The graph with its weights in float32 and nothing that rounds; changes the model."""
    for node in list(model.graph):
        source = node.inputs[0] if node.inputs else None
        if node.domain or source is None or node.op_type not in ("DequantizeLinear", "Cast"):
            continue
        below = source.producer()
        if source.const_value is not None:
            array = _restored(node).astype(np.float32)
            name, node.outputs[0].name = str(node.outputs[0].name), None
            replace_value(node.outputs[0], add_initializer(model.graph, name, array))
        elif below is not None and below.op_type == "QuantizeLinear" and below.inputs[0] is not None:
            replace_value(node.outputs[0], below.inputs[0])
    drop_unused(model)
    left = Counter(node.op_type for node in model.graph)
    if left["QuantizeLinear"] or left["DequantizeLinear"]:
        raise ModelError(
            where="the model's graph",
            expected="QuantizeLinear with DequantizeLinear behind it, and constant weights",
            found="others",
            fix="give a float model",
        )
    return model


def _restored(node: ir.Node) -> NDArray[np.generic]:
    """Source: ONNX, DequantizeLinear; of a Cast, the numbers themselves."""
    array, *others = (
        None if value is None or value.const_value is None else value.const_value.numpy()
        for value in node.inputs
    )
    assert array is not None
    if node.op_type == "Cast":
        return array
    rank, axis = array.ndim, node.attributes.get_int("axis", 1)
    scale, zero_point = (
        np.float32(0)
        if one is None
        else one.astype(np.float32).reshape(
            [-1 if one.size > 1 and at == axis % rank else 1 for at in range(rank)]
        )
        for one in (*others, None)[:2]
    )
    return (array.astype(np.float32) - zero_point) * scale
