"""Nodes that give the same tensor for every picture → initializers; fixed sizes among them."""

from __future__ import annotations

import onnx_ir as ir

from u2forge.graph.static_values import StaticValues
from u2forge.passes.surgery import add_initializer, drop_unused, replace_value


class FoldConstants(ir.passes.InPlacePass):
    """Folds constant nodes; also Shape, Gather and Slice of sizes that are fixed while others are open.

    Left alone: casts of stored weights, which are smaller before than after. Refuses a graph whose shapes
    contradict each other.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """One forward sweep, then whatever nothing reads any more is dropped."""
        values = StaticValues(model)
        folded = [node for node in model.graph if _folds(node, values)]
        for node in folded:
            output = node.outputs[0]
            name, output.name = str(output.name), None
            constant = add_initializer(model.graph, name, values.constants[output])
            replace_value(output, constant)
        if folded:
            drop_unused(model)
        return ir.passes.PassResult(model, bool(folded))


def _folds(node: ir.Node, values: StaticValues) -> bool:
    # A graph output stays a node's: an output that is an initializer is not supported everywhere.
    return (
        len(node.outputs) == 1
        and node.outputs[0] in values.constants
        and not node.outputs[0].is_graph_output()
        and not _expands_weights(node)
    )


def _expands_weights(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    return (
        node.op_type == "Cast"
        and source is not None
        and source.const_value is not None
        and source.dtype == ir.DataType.FLOAT16
    )
