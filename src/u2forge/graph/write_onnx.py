"""A graph → ONNX file, whole or not at all; the same graph gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from u2forge.atomic_file import write_atomic


def write_onnx(model: ir.Model, path: Path) -> None:
    """Writes the model as one file, its weights inside. Raises OutputError where that is not possible."""
    write_atomic(path, ir.to_proto(model).SerializeToString(deterministic=True))
