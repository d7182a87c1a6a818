"""The nodes that passes/embed_preprocessing.py puts before a network → one normalization."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.graph.static_values import StaticValues
from u2forge.native.look_through import Wiring
from u2forge.native.network import Normalization
from u2forge.native.refusal import node_name, operator, refused, refused_value

_EXPECTED = "the preprocessing that `u2forge build --embed-preprocessing` writes: {}"


@dataclass(frozen=True, eq=False)
class RecognizedNormalization:
    """result: the normalised picture, (N, 3, H, W). nodes: all that compute it."""

    normalization: Normalization
    result: ir.Value
    nodes: Collection[ir.Node]


def recognized_normalization(
    pixels: ir.Value, wiring: Wiring, values: StaticValues
) -> RecognizedNormalization:
    """The chain that begins at the graph's 8-bit NHWC input. Raises EngineError at the first node of another kind."""
    walk = _Walk(wiring, values)
    turned = walk.only_reader(pixels, "Transpose")
    walk.check(turned, tuple(turned.attributes.get_ints("perm", ())) == (0, 3, 1, 2), "perm 0, 3, 1, 2")
    cast = walk.only_reader(turned.outputs[0], "Cast")
    walk.check(cast, values.data_type(cast.outputs[0]) == ir.DataType.FLOAT, "a Cast to float32")
    largest, divided = walk.both_readers(cast.outputs[0], "ReduceMax", "Div")
    walk.check(
        largest, walk.reduces_all(largest), "ReduceMax over channels, height and width of each picture"
    )
    bounded = walk.only_reader(largest.outputs[0], "Max")
    one = walk.constant_of(bounded)
    walk.check(bounded, len(bounded.inputs) == 2 and one is not None and one.tolist() == [1], "Max with 1")
    walk.check(divided, walk.only_reader(bounded.outputs[0], "Div") is divided, "a division by the maximum")
    walk.check(
        divided,
        tuple(wiring.carriers(divided)) == (cast.outputs[0], bounded.outputs[0]),
        "a division by the maximum",
    )
    scaled = walk.only_reader(divided.outputs[0], "Mul")
    shifted = walk.only_reader(scaled.outputs[0], "Add")
    return RecognizedNormalization(
        Normalization(walk.by_channel(scaled), walk.by_channel(shifted)),
        shifted.outputs[0],
        frozenset((turned, cast, largest, bounded, divided, scaled, shifted)),
    )


class _Walk:
    """Steps along the chain, from a value to what reads it."""

    def __init__(self, wiring: Wiring, values: StaticValues) -> None:
        self._wiring = wiring
        self._values = values

    def check(self, node: ir.Node, condition: bool, expected: str) -> None:
        if not condition:
            raise refused(node, expected=_EXPECTED.format(expected), found="of another kind")

    def only_reader(self, value: ir.Value, op_type: str) -> ir.Node:
        (node,) = self._readers(value, op_type)
        return node

    def both_readers(self, value: ir.Value, first: str, second: str) -> tuple[ir.Node, ir.Node]:
        one, other = self._readers(value, first, second)
        return (one, other) if operator(one) == first else (other, one)

    def _readers(self, value: ir.Value, *operators: str) -> list[ir.Node]:
        """The nodes that read the value, which must be these and no more."""
        readers = list(self._wiring.readers(value))
        if value in self._wiring.outputs or sorted(map(operator, readers)) != sorted(operators):
            found = ", ".join(f"{operator(node)} {node_name(node)!r}" for node in readers) or "nothing"
            raise refused_value(
                f"value {value.name!r}",
                expected=_EXPECTED.format(f"{' and '.join(operators)} that alone read this value"),
                found=found,
            )
        return readers

    def reduces_all(self, node: ir.Node) -> bool:
        # Operator set 18 made the axes an input.
        axes = self._values.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        found = node.attributes.get_ints("axes", ()) if axes is None else axes.tolist()
        return sorted(axis % 4 for axis in found) == [1, 2, 3] and node.attributes.get_int("keepdims", 1) == 1

    def constant_of(self, node: ir.Node) -> NDArray[np.float32] | None:
        """The one constant among a node's two inputs, whichever it is, as a list of numbers."""
        arrays = [self._values.constant(value) for value in node.inputs]
        found = [array for array in arrays if array is not None]
        return found[0].ravel() if len(found) == 1 and found[0].dtype == np.float32 else None

    def by_channel(self, node: ir.Node) -> NDArray[np.float32]:
        """The node's constant, one number for each of three channels of an NCHW tensor."""
        array = self.constant_of(node)
        shapes = [self._values.shape(value) for value in node.inputs if value is not None]
        # The other input is a picture, of more than one pixel.
        fits = (
            array is not None and array.size == 3 and (3, 1, 1) in [shape[-3:] for shape in shapes if shape]
        )
        self.check(node, fits, "one number for each channel")
        assert array is not None
        return array
