"""The check that a quantized model's integers are those that TensorRT computes with."""

from __future__ import annotations

from collections.abc import Iterator

from u2forge.errors import EngineError
from u2forge.model_file.read import ModelFile
from u2forge.precision import quantized_bits


def check_signed_integers(model: ModelFile, *, where: str) -> None:
    """Raises EngineError unless each rounding of a quantized model is to signed 8-bit integers around zero.

    TensorRT refuses other zero points, and reads unsigned integers as signed ones: what is above 127 would saturate,
    and the maps be wrong without a word (NVIDIA's issues 2774 and 2081).
    """
    if quantized_bits(model.manifest.precision) is None:
        return
    other = next(_other_integers(model), None)
    if other is not None:
        raise EngineError(
            where=where,
            expected="signed 8-bit integers around zero, all that TensorRT knows",
            found=other,
            fix="run it with --device cuda, or on another engine, or build the model in a float precision",
        )


def _other_integers(model: ModelFile) -> Iterator[str]:
    import onnx

    graph = onnx.load(model.path).graph
    constants = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None:
            yield f"unsigned integers, at {node.input[0]!r}"
        elif zero.data_type != onnx.TensorProto.INT8:
            yield f"{onnx.TensorProto.DataType.Name(zero.data_type).lower()}, at {node.input[0]!r}"
        elif onnx.numpy_helper.to_array(zero).any():
            yield f"a zero point other than 0, at {node.input[0]!r}"
