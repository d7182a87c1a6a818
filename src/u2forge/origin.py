"""Origin: which file the weights of a graph or model came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """The weights that a graph was made from. format: pth, pt, safetensors or onnx; sha256 of that file."""

    file: str
    format: str
    sha256: str
