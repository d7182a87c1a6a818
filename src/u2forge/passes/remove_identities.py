"""Nodes that give back what they get → nothing."""

from __future__ import annotations

import onnx_ir as ir

from u2forge.graph.static_values import StaticValues
from u2forge.graph.structure import dropout_trains, is_identity
from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import drop_unused, replace_value


class RemoveIdentities(ir.passes.InPlacePass):
    """Removes Identity, Dropout, Cast to the same type, Concat of one tensor and Resize to the same size.

    Left alone where one joins a graph input, a weight or another output to an output. Refuses Dropout in training.
    """

    def requires(self, model: ir.Model) -> None:
        """No Dropout drops anything."""
        values = StaticValues(model)
        for node in model.graph:
            if node.op_type == "Dropout" and node.domain == "" and dropout_trains(node, values):
                raise RefusedGraphError(
                    where=f"graph, node {node.name!r}",
                    expected="Dropout in inference mode",
                    found="training mode",
                    fix="export the network after model.eval()",
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Every reader of such a node reads its input."""
        values = StaticValues(model)
        removed = [node for node in model.graph if is_identity(node, values) and _bypass(node)]
        if removed:
            model.graph.remove(removed, safe=True)
            drop_unused(model)
        return ir.passes.PassResult(model, bool(removed))


def _bypass(node: ir.Node) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    if source is None:
        return False
    if output.is_graph_output() and (source.producer() is None or source.is_graph_output()):
        return False
    replace_value(output, source)
    return True
