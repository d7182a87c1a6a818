"""Keeps the wanted outputs, and only the nodes and weights that they depend on."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import drop_unused


class KeepOutputs(ir.passes.InPlacePass):
    """Leaves these outputs, in this order. Refuses a graph that lacks one of them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def requires(self, model: ir.Model) -> None:
        """Every wanted output is there."""
        there = [str(value.name) for value in model.graph.outputs]
        missing = [name for name in self.names if name not in there]
        if missing or not self.names:
            raise RefusedGraphError(
                where="graph, outputs",
                expected=", ".join(self.names) or "at least one output to keep",
                found=", ".join(there),
                fix="ask for outputs that the graph has",
            )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Sets the outputs, then drops what nothing needs."""
        graph = model.graph
        by_name = {str(value.name): value for value in graph.outputs}
        wanted = [by_name[name] for name in self.names]
        modified = wanted != list(graph.outputs)
        if modified:
            graph.outputs.clear()
            graph.outputs.extend(wanted)
        return ir.passes.PassResult(model, drop_unused(model) or modified)
