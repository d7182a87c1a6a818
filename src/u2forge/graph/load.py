"""Weights of any known format → Network: one door for .pth, .pt, .safetensors and .onnx files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.graph.architecture import Architecture
from u2forge.graph.build import graph_from_arrays
from u2forge.graph.parameters import fitting_architecture
from u2forge.graph.read_onnx import read_onnx
from u2forge.graph.recognize import arrays_from_graph
from u2forge.origin import Origin
from u2forge.weights.checkpoint import read_checkpoint
from u2forge.weights.checkpoint_format import checkpoint_format
from u2forge.weights.digest import sha256_of

METADATA_KEY = "u2forge.graph"
_KINDS = "a PyTorch state dict (.pth), TorchScript (.pt), .safetensors or ONNX file"


@dataclass(frozen=True, eq=False)
class Network:
    """A U²-Net and its weights. name: what the user or the file calls it; arrays: upstream-named, float32."""

    name: str
    architecture: Architecture
    arrays: dict[str, NDArray[np.float32]]
    origin: Origin


def load_network(path: Path, *, name: str | None = None) -> Network:
    """The network in the file, whose format is told by its bytes. name: None to take the file's own.

    A graph that u2forge exported keeps the origin of its weights. Raises ModelError where the file is broken or
    is no U²-Net (with all missing, unknown and misshapen parameters, or the first node that differs), and what
    read_checkpoint raises.
    """
    if checkpoint_format(path) is None:
        return _network_from_onnx(path, name)
    checkpoint = read_checkpoint(path)
    shapes = {key: array.shape for key, array in checkpoint.arrays.items()}
    architecture = fitting_architecture(shapes, where=f"checkpoint {path}")
    origin = Origin(checkpoint.file, checkpoint.format, checkpoint.sha256)
    return Network(name or path.stem, architecture, checkpoint.arrays, origin)


def _network_from_onnx(path: Path, name: str | None) -> Network:
    model = read_onnx(path, expected=_KINDS)
    architecture, arrays = arrays_from_graph(model, where=f"graph {path}")
    own_name, origin = _own_origin(model, arrays)
    if origin is None:
        origin = Origin(path.name, "onnx", sha256_of(path))
    return Network(name or own_name or path.stem, architecture, arrays, origin)


def export_graph(network: Network) -> ir.Model:
    """The network's float graph (see graph_from_arrays); its name and origin are kept in the metadata."""
    model = graph_from_arrays(network.architecture, network.arrays)
    about = {
        "name": network.name,
        "architecture": network.architecture.name,
        "origin": asdict(network.origin),
        "weights_sha256": _weights_sha256(network.arrays),
    }
    model.metadata_props[METADATA_KEY] = json.dumps(about, ensure_ascii=False, sort_keys=True)
    return model


def _own_origin(
    model: ir.Model, arrays: Mapping[str, NDArray[np.float32]]
) -> tuple[str | None, Origin | None]:
    """(name, origin) as export_graph noted them; no origin where the weights are not the ones it noted."""
    try:
        about = json.loads(model.metadata_props.get(METADATA_KEY, "null"))
        name, origin = str(about["name"]), about["origin"]
        noted = Origin(str(origin["file"]), str(origin["format"]), str(origin["sha256"]))
        same = about["weights_sha256"] == _weights_sha256(arrays)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, None
    return name, noted if same else None


def _weights_sha256(arrays: Mapping[str, NDArray[np.float32]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name], "<f4").data)
    return digest.hexdigest()
