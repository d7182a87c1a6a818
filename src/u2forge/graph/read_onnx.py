"""An untrusted ONNX file → onnx_ir model, checked: whole, valid, and with no data from outside its folder."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from u2forge.errors import InputError, ModelError
from u2forge.graph.onnx_tensors import all_tensors, check_tensor, load_external_data

# What protobuf itself can hold in one message.
_MAX_BYTES = 2**31 - 1


def read_onnx(path: Path, *, expected: str = "an ONNX model") -> ir.Model:
    """The model in the file, its external data loaded; initializers are no longer listed as inputs.

    expected: what the error calls a file that is not ONNX at all. Raises InputError where it cannot be read,
    ModelError where it is broken, invalid, or refers to data that is missing or outside its folder.
    """
    where = f"file {path}"
    proto = _parsed(_bytes(path), where, expected)
    for tensor in all_tensors(proto):
        load_external_data(tensor, path.parent, where=where)
        check_tensor(tensor, where=where)
    try:
        onnx.checker.check_model(proto)
        model = ir.from_proto(proto)
        _check_texts(model)
        return RemoveInitializersFromInputsPass()(model).model
    # The checker and the reader raise many kinds; whichever it is, the file is at fault.
    except Exception as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise ModelError(
            where=where,
            expected="a valid ONNX model",
            found=f"one that the ONNX checker refuses: {reason[:300]}",
            fix="export the model again, or download it again",
        ) from error


def _check_texts(model: ir.Model) -> None:
    """Raises ValueError where an attribute's text is not UTF-8: onnx_ir keeps it as bytes, the checker lets it pass."""
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        for node in ir.traversal.RecursiveGraphIterator(graph):
            for attribute in node.attributes.values():
                values = attribute.value if isinstance(attribute.value, (list, tuple)) else [attribute.value]
                if any(isinstance(value, bytes) for value in values):
                    raise ValueError(f"attribute {attribute.name!r} of node {node.name!r} is not UTF-8 text")


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelError(
                where=f"file {path}",
                expected="an ONNX file below 2 GiB",
                found=f"{path.stat().st_size} bytes",
                fix="check that this is the right file: the full U²-Net has 176 MB",
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            where=f"file {path}",
            expected="a file that can be read",
            found=error.strerror or str(error),
            fix="check the path",
        ) from error


def _parsed(data: bytes, where: str, expected: str) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    reason = "bytes of something else, or a file that is cut short"
    try:
        proto.ParseFromString(data)
    # Protobuf's own DecodeError, whichever of its implementations is at work.
    except Exception as error:
        raise _not_onnx(where, expected, reason) from error
    # Protobuf takes nearly any short file for unknown fields, and an empty one for an empty model.
    if not proto.HasField("graph") or not proto.graph.node or not proto.opset_import:
        raise _not_onnx(where, expected, reason if data else "an empty file")
    return proto


def _not_onnx(where: str, expected: str, found: str) -> ModelError:
    return ModelError(
        where=where, expected=expected, found=found, fix="check the path, or copy or download the file again"
    )
