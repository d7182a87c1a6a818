"""Inputs and outputs from (N, C, H, W) to (N, H, W, C) or back, by transpositions at the graph's ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from u2forge.passes.interface import named, picture_input, with_picture_axes
from u2forge.passes.surgery import as_list, put_before_input, put_behind_output

# By what the tensor becomes: from its old place to its new one.
_TO = {"NHWC": (0, 2, 3, 1), "NCHW": (0, 3, 1, 2)}


@dataclass(frozen=True)
class ChangeLayout(ir.passes.InPlacePass):
    """Gives the named inputs and outputs the layout `to`; they have the other one so far, and four axes.

    Each run transposes them once more.
    """

    to: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def requires(self, model: ir.Model) -> None:
        """They are there, and have four axes."""
        for name in self.inputs:
            picture_input(model, name)
        for name in self.outputs:
            with_picture_axes(named(model.graph.outputs, name, kind="output"))

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """One Transpose for each."""
        forth = _TO[self.to]
        back = _TO["NCHW" if self.to == "NHWC" else "NHWC"]
        for name in self.inputs:
            value = picture_input(model, name)
            assert value.dtype is not None
            transpose = _transpose(f"preprocess.{name}.transpose", back)
            put_before_input(
                model.graph,
                name,
                as_list(transpose),
                dtype=value.dtype,
                shape=_permuted(value, forth),
            )
        for name in self.outputs:
            value = named(model.graph.outputs, name, kind="output")
            assert value.dtype is not None
            transpose = _transpose(f"postprocess.{name}.transpose", forth)
            put_behind_output(model.graph, name, transpose, dtype=value.dtype, shape=_permuted(value, forth))
        return ir.passes.PassResult(model, bool(self.inputs or self.outputs))


def _permuted(value: ir.Value, order: tuple[int, ...]) -> ir.Shape:
    assert value.shape is not None
    return ir.Shape([value.shape[axis] for axis in order])


def _transpose(name: str, order: tuple[int, ...]) -> Callable[[ir.Value], ir.Node]:
    return lambda value: ir.node("Transpose", [value], {"perm": list(order)}, name=name)
