"""The error of a pass that will not touch a graph: a ModelError that onnx_ir's own machinery lets through."""

from __future__ import annotations

import onnx_ir as ir

from u2forge.errors import ModelError


class RefusedGraphError(ModelError, ir.passes.PreconditionError):
    """The graph does not meet what the pass requires."""
