"""A graph → its nodes that compute something, and which value each of them really reads.

Identities are looked through (see graph/structure.py), and so is rounding: a QuantizeLinear and the DequantizeLinear
behind it. What restores weights does not depend on the picture and is not among these nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from u2forge.graph.static_values import StaticValues
from u2forge.graph.structure import is_identity
from u2forge.native.refusal import refused
from u2forge.native.resize_rules import resizes_space_only


class Wiring:
    """computing: nodes in graph order. inputs, outputs: the graph's; an output as the value that carries it."""

    def __init__(self, graph: ir.Graph, values: StaticValues) -> None:
        """Sweeps the graph once. Raises EngineError where integers are read by anything but DequantizeLinear."""
        self.computing: list[ir.Node] = []
        self.inputs: Sequence[ir.Value] = tuple(graph.inputs)
        self._carriers: dict[ir.Value, ir.Value] = {value: value for value in graph.inputs}
        self._quantizers: dict[ir.Value, ir.Node] = {}
        self._readers: dict[ir.Value, list[ir.Node]] = {}
        for node in graph:
            depends = any(value in self._carriers for value in node.inputs if value is not None)
            if depends and node.outputs and values.constant(node.outputs[0]) is None:
                self._visit(node, values)
        self.outputs: Sequence[ir.Value | None] = [self._carriers.get(value) for value in graph.outputs]

    def carriers(self, node: ir.Node) -> Iterator[ir.Value | None]:
        """What each input of the node really is; None for one that is absent or does not depend on the picture."""
        return (None if value is None else self._carriers.get(value) for value in node.inputs)

    def readers(self, value: ir.Value) -> Sequence[ir.Node]:
        """The computing nodes that read what the value carries, one as often as it does."""
        return self._readers.get(value, ())

    def _visit(self, node: ir.Node, values: StaticValues) -> None:
        source = next(iter(node.inputs), None)
        carrier = None if source is None else self._carriers.get(source)
        own = node.domain == "" and source is not None and carrier is not None
        if own and node.op_type == "DequantizeLinear" and source in self._quantizers:
            _check_undone(node, self._quantizers[source], values)
        elif any(value in self._quantizers for value in node.inputs):
            raise refused(node, expected="integers that DequantizeLinear reads", found="of integers")
        elif own and node.op_type == "QuantizeLinear":
            self._quantizers[node.outputs[0]] = node
        elif not (own and _is_identity(node, values)):
            self.computing.append(node)
            for found in self.carriers(node):
                if found is not None:
                    self._readers.setdefault(found, []).append(node)
            carrier = None
        for output in node.outputs:
            self._carriers[output] = output if carrier is None else carrier


def _is_identity(node: ir.Node, values: StaticValues) -> bool:
    return is_identity(node, values) and (node.op_type != "Resize" or resizes_space_only(node, values))


def _check_undone(node: ir.Node, quantizer: ir.Node, values: StaticValues) -> None:
    """Raises EngineError where the two do not use the same scale and zero point."""
    for index in (1, 2):
        pair = [each.inputs[index] if index < len(each.inputs) else None for each in (quantizer, node)]
        if pair[0] is pair[1]:
            continue
        first, second = (values.constant(value) for value in pair)
        if first is None or second is None or not np.array_equal(first, second):
            raise refused(
                node, expected="the scale and zero point of its QuantizeLinear", found="with other ones"
            )
