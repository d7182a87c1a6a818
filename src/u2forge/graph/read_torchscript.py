"""A TorchScript file that is no U²-Net → its ONNX graph, by PyTorch's own exporter, which runs the network once."""

from __future__ import annotations

import io
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import onnx_ir as ir

from u2forge.errors import InputError, ModelError
from u2forge.graph.parsed_network import FOREIGN, ParsedNetwork, ParsedTensor, recognized
from u2forge.graph.raise_opset import raise_opset
from u2forge.graph.read_onnx import read_onnx
from u2forge.graph.static_values import Shape
from u2forge.origin import Origin
from u2forge.weights.digest import sha256_of
from u2forge.weights.torch_package import import_torch

_OPSET = 18
_KEPT_GRAPHS = 4


def network_from_torchscript(path: Path, *, input_types: Sequence[ir.DataType] = ()) -> ParsedNetwork:
    """The network in the file: a U²-Net by its weights alone; another one is loaded, and its code run in PyTorch's
    TorchScript interpreter, on zeros, when its graph is asked for.

    input_types: of its inputs, float32 where there are none. Raises InputError, ModelError; MissingDependencyError
    without PyTorch.
    """
    known = recognized(path)
    if known is not None:
        return known
    module = _loaded(path)
    values = list(module.graph.inputs())[1:]  # the first is the module itself
    names = _names([str(value.debugName()) for value in values])
    if input_types and len(input_types) != len(names):
        raise InputError(
            where=f"network {path}, types of the inputs",
            expected=f"{len(names)}, one for each of {', '.join(names)}",
            found=str(len(input_types)),
            fix="give one type for each input",
        )
    types = list(input_types) or [ir.DataType.FLOAT] * len(names)
    count = sum(_tensor_count(value.type()) for value in module.graph.outputs())
    outputs = [f"output{index}" for index in range(count)]
    export = lru_cache(_KEPT_GRAPHS)(partial(_exported, module, path, names, types, outputs))

    def graph(shapes: Mapping[str, Shape], example: Mapping[str, tuple[int, ...]]) -> ir.Model:
        return export(tuple(shapes[name] for name in names), tuple(example[name] for name in names))

    return ParsedNetwork(
        name=path.stem,
        architecture=FOREIGN,
        origin=Origin(path.name, "pt", sha256_of(path)),
        inputs=tuple(ParsedTensor(name, None, kind) for name, kind in zip(names, types, strict=True)),
        outputs=tuple(ParsedTensor(name, None, None) for name in outputs),
        graph=graph,
    )


def _loaded(path: Path) -> Any:
    torch = import_torch(where=f"network {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(str(path), map_location="cpu").eval()
        module.graph  # noqa: B018 (one without `forward` raises here)
        return module
    # An untrusted file may fail in any way inside the loader; whatever it is, the file is at fault.
    except Exception as error:
        raise ModelError(
            where=f"network {path}",
            expected="a TorchScript module that PyTorch loads, with a forward method",
            found=_first_line(error),
            fix="save it with torch.jit.trace(model.eval(), example).save(FILE)",
        ) from error


def _names(debug_names: Sequence[str]) -> list[str]:
    """The arguments' own names, without the number that TorchScript puts behind them."""
    bare = [re.sub(r"\.\d+$", "", name) for name in debug_names]
    return bare if len(set(bare)) == len(bare) else list(debug_names)


def _tensor_count(kind: Any) -> int:
    """How many tensors an output of that type is; a list's or dictionary's length is not known before it runs."""
    if kind.kind() == "TensorType":
        return 1
    if kind.kind() == "TupleType":
        return sum(_tensor_count(part) for part in kind.elements())
    raise ModelError(
        where="TorchScript network, outputs",
        expected="tensors, or tuples of them",
        found=str(kind),
        fix="trace a model whose forward returns a tensor or a tuple of tensors",
    )


def _exported(
    module: Any,
    path: Path,
    names: Sequence[str],
    types: Sequence[ir.DataType],
    outputs: Sequence[str],
    shapes: Sequence[Shape],
    example: Sequence[tuple[int, ...]],
) -> ir.Model:
    torch = import_torch(where=f"network {path}")
    arguments = tuple(
        torch.zeros(sizes, dtype=getattr(torch, kind.numpy().name))
        for sizes, kind in zip(example, types, strict=True)
    )
    open_axes = {
        name: {axis: f"{name}_{axis}" if axis else "N" for axis, size in enumerate(shape) if size is None}
        for name, shape in zip(names, shapes, strict=True)
    }
    if any(axes.get(0) for axes in open_axes.values()):
        open_axes |= {name: {0: "N"} for name in outputs}
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                arguments,
                buffer,
                # The newer exporter wants Python modules, which a TorchScript file does not hold.
                dynamo=False,
                opset_version=_OPSET,
                input_names=list(names),
                output_names=list(outputs),
                dynamic_axes={name: axes for name, axes in open_axes.items() if axes},
            )
    # PyTorch raises many kinds; whichever it is, this network does not run on such inputs or has no ONNX form.
    except Exception as error:
        sizes = ", ".join(f"{name} {shape}" for name, shape in zip(names, example, strict=True))
        raise ModelError(
            where=f"network {path}",
            expected=f"one that PyTorch runs on {sizes} and exports to ONNX operator set {_OPSET}",
            found=_first_line(error),
            fix="set the dimensions that the network was traced with, or hand it over as an ONNX file",
        ) from error
    with tempfile.TemporaryDirectory(prefix="u2forge-torch-") as folder:
        file = Path(folder) / "exported.onnx"
        file.write_bytes(buffer.getvalue())
        return raise_opset(read_onnx(file), _OPSET, where=f"network {path}")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
