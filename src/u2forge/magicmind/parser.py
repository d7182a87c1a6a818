"""Parser: a file of another framework → a Network."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from u2forge.errors import InputError, MissingDependencyError, ModelError, unknown_choice
from u2forge.magicmind.data_types import DataType, graph_type
from u2forge.magicmind.network import Network
from u2forge.magicmind.status import Status, UnsupportedError, check_there, status_of

if TYPE_CHECKING:
    from u2forge.graph.parsed_network import ParsedNetwork


class ModelKind(Enum):
    """The frameworks whose files a Parser is made for."""

    kPytorch = "PyTorch"
    kOnnx = "ONNX"
    kTensorflow = "TensorFlow"
    kCaffe = "Caffe"


# The last two are u2forge's own: names of a frozen TensorFlow graph's tensors.
_PARAMETERS = {
    "pytorch-input-dtypes": ModelKind.kPytorch,
    "tf-inputs": ModelKind.kTensorflow,
    "tf-outputs": ModelKind.kTensorflow,
}
_CONVERTER = "tf2onnx"


class Parser:
    """Reads files of one framework. Raises InputError on another kind than ModelKind's."""

    def __init__(self, model_kind: ModelKind) -> None:
        if not isinstance(model_kind, ModelKind):
            raise unknown_choice(
                model_kind, [str(kind) for kind in ModelKind], where="Parser, argument 'model_kind'"
            )
        self._kind = model_kind
        self._types: list[DataType] = []
        self._tensors: dict[str, list[str]] = {}

    def set_model_param(self, name: str, value: Sequence[DataType] | Sequence[str]) -> Status:
        """What the file does not say: `pytorch-input-dtypes`, one DataType for each input."""
        return status_of(lambda: self._set_model_param(name, value))

    def parse(self, network: Network, *files: str | Path) -> Status:
        """Fills the network from the file; it stays as it was where that fails."""
        return status_of(lambda: network.fill(self._parsed(files)))

    def _set_model_param(self, name: str, value: Sequence[DataType] | Sequence[str]) -> None:
        where = f"Parser.set_model_param, {name!r}"
        if _PARAMETERS.get(name) is not self._kind:
            valid = [key for key, kind in _PARAMETERS.items() if kind is self._kind]
            raise InputError(
                where=where,
                expected=f"one of {', '.join(valid)}" if valid else f"none for {self._kind.value}",
                found="an unknown name",
                fix="leave it out, or correct the name",
            )
        if name != "pytorch-input-dtypes":
            self._tensors[name] = [str(entry) for entry in value]
            return
        types = [entry for entry in value if isinstance(entry, DataType)]
        if len(types) != len(value):
            raise InputError(
                where=where,
                expected="a list of DataType",
                found=repr(value),
                fix="write [mm.DataType.FLOAT32], one for each input",
            )
        for entry in types:
            graph_type(entry, where=where)
        self._types = types

    def _parsed(self, files: Sequence[str | Path]) -> ParsedNetwork:
        if self._kind is ModelKind.kCaffe:
            raise UnsupportedError(
                where="Parser for Caffe",
                expected="PyTorch (TorchScript), ONNX or TensorFlow",
                found="a Caffe network, which nothing that is maintained converts any more",
                fix="convert it to ONNX once, and parse that with ModelKind.kOnnx",
            )
        if len(files) != 1:
            raise InputError(
                where=f"Parser for {self._kind.value}, parse",
                expected="one file",
                found=f"{len(files)}: {', '.join(map(str, files)) or 'none'}",
                fix="call parse(network, file)",
            )
        path = Path(files[0]).expanduser()
        check_there(path, where=f"parse of {path}", expected=f"a file of {self._kind.value}")
        if self._kind is ModelKind.kTensorflow:
            return _from_tensorflow(path, self._tensors)
        if self._kind is ModelKind.kOnnx:
            return _from_onnx(path)
        return _from_torchscript(path, self._types)


def _from_onnx(path: Path) -> ParsedNetwork:
    from u2forge.graph.parsed_network import network_from_onnx

    return network_from_onnx(path)


def _from_torchscript(path: Path, types: Sequence[DataType]) -> ParsedNetwork:
    from u2forge.graph.read_torchscript import network_from_torchscript

    where = "pytorch-input-dtypes"
    return network_from_torchscript(path, input_types=[graph_type(kind, where=where) for kind in types])


def _from_tensorflow(path: Path, tensors: dict[str, list[str]]) -> ParsedNetwork:
    """By tf2onnx, in a process of its own: TensorFlow stays out of this one. Its own options tell the kinds of file."""
    if importlib.util.find_spec(_CONVERTER) is None:
        raise MissingDependencyError(
            where=f"parse of {path}",
            expected=f"the package {_CONVERTER}, which converts TensorFlow to ONNX",
            found="it is not installed",
            fix=f"run `pip install {_CONVERTER} tensorflow`, or convert the network elsewhere and parse the ONNX file",
        )
    option = "--saved-model" if path.is_dir() else "--tflite" if path.suffix == ".tflite" else "--graphdef"
    with tempfile.TemporaryDirectory(prefix="u2forge-tensorflow-") as folder:
        target = Path(folder) / f"{path.stem}.onnx"
        command = [sys.executable, "-m", f"{_CONVERTER}.convert", option, str(path), "--output", str(target)]
        for name, flag in (("tf-inputs", "--inputs"), ("tf-outputs", "--outputs")):
            if name in tensors:
                command += [flag, ",".join(tensors[name])]
        done = subprocess.run([*command, "--opset", "18"], capture_output=True, text=True, check=False)
        if done.returncode or not target.is_file():
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise ModelError(
                where=f"parse of {path}",
                expected=f"a TensorFlow network that {_CONVERTER} converts",
                found=lines[-1][:300] if lines else f"exit code {done.returncode}",
                fix="of a frozen graph, name the tensors: set_model_param('tf-inputs', ['x:0']) and 'tf-outputs'",
            )
        return _from_onnx(target)
