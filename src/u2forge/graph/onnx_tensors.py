"""The tensors of an ONNX protobuf: found wherever they are, their external data loaded, their sizes checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from u2forge.errors import ModelError

# Where a tensor that is not raw keeps its elements. Source: onnx.proto, message TensorProto.
_FIELDS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float_data",
    onnx.TensorProto.DOUBLE: "double_data",
    onnx.TensorProto.INT64: "int64_data",
    onnx.TensorProto.UINT32: "uint64_data",
    onnx.TensorProto.UINT64: "uint64_data",
    onnx.TensorProto.STRING: "string_data",
}


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor: initializers, sparse ones, and those in attributes, in subgraphs and functions too."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (tensor for tensor in (sparse.values, sparse.indices) if tensor.data_type)
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)


def load_external_data(tensor: onnx.TensorProto, folder: Path, *, where: str) -> None:
    """Moves a tensor's data from its own file into the tensor; one without such a file is left alone.

    Raises ModelError where that file is outside the folder, missing, or too short.
    """
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    entries = {entry.key: entry.value for entry in tensor.external_data}
    where = f"{where}, tensor {tensor.name!r}"
    source = _inside(folder, entries.get("location", ""), where)
    size = _size_bytes(tensor, where)
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or size)
        if offset < 0 or length != size:
            raise ValueError(f"offset {offset}, length {length}")
        with source.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(size) if source.stat().st_size >= offset + size else b""
    except (OSError, ValueError, OverflowError) as error:
        raise _external(where, f"{size} bytes in {source.name}", str(error)) from error
    if len(data) != size:
        raise _external(where, f"{size} bytes in {source.name} from byte {offset}", "a shorter file")
    tensor.raw_data = data
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _inside(folder: Path, location: str, where: str) -> Path:
    """The file that a location means, with links followed, once it is known to be in the folder."""
    root = folder.resolve()
    try:
        source = (root / location).resolve()
        if location and source.is_relative_to(root) and source != root:
            if source.is_file():
                return source
            raise _external(where, f"the file {location!r} beside the model", "no such file")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ModelError):
            raise
        raise _external(where, "a file name", repr(location)) from error
    raise _external(where, "external data inside the model's own folder", f"the location {location!r}")


def _external(where: str, expected: str, found: str) -> ModelError:
    return ModelError(
        where=where,
        expected=expected,
        found=found,
        fix="keep a model's data files beside it, or save it as one file",
    )


def check_tensor(tensor: onnx.TensorProto, *, where: str) -> None:
    """Raises ModelError unless the tensor holds exactly the data that its type and dimensions ask for."""
    where = f"{where}, tensor {tensor.name!r}"
    size = _size_bytes(tensor, where)
    count = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        found, expected, unit = len(tensor.raw_data), size, "bytes"
    else:
        found = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
        # Four-bit numbers are packed two and more to an element; complex ones take two.
        packed = tensor.data_type not in _FIELDS and _bits(tensor.data_type) < 8
        expected, unit = size if packed else count, "elements"
    if found != expected:
        raise ModelError(
            where=where,
            expected=f"{expected} {unit}, for dimensions {list(tensor.dims)}",
            found=str(found),
            fix="copy or download the file again",
        )


def _size_bytes(tensor: onnx.TensorProto, where: str) -> int:
    bits = _bits(tensor.data_type)
    # Sizes beside a 0 count too: numpy refuses what they would span.
    if (
        bits
        and all(size >= 0 for size in tensor.dims)
        and math.prod(max(size, 1) for size in tensor.dims) < 2**31
    ):
        return int((math.prod(tensor.dims) * bits + 7) // 8)
    if tensor.data_type == onnx.TensorProto.STRING:
        return 0
    raise ModelError(
        where=where,
        expected="a data type of ONNX and dimensions of at least 0",
        found=f"type {tensor.data_type}, dimensions {list(tensor.dims)}",
        fix="copy or download the file again",
    )


def _bits(data_type: int) -> int:
    """Bits of one element; 0 for text and for types that there are not."""
    try:
        return int(8 * ir.DataType(data_type).itemsize)
    except (ValueError, TypeError, KeyError):
        return 0
