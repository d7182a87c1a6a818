"""Inputs and outputs of another element type than the network computes with, by casts at the graph's ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from u2forge.passes.interface import named
from u2forge.passes.surgery import as_list, put_before_input, put_behind_output

_NARROWED = {ir.DataType.INT64: ir.DataType.INT32, ir.DataType.DOUBLE: ir.DataType.FLOAT}


@dataclass(frozen=True)
class ChangeTypes(ir.passes.InPlacePass):
    """Gives the named inputs and outputs these element types; those that have them already are left alone."""

    inputs: Mapping[str, ir.DataType] = field(default_factory=dict)
    outputs: Mapping[str, ir.DataType] = field(default_factory=dict)

    def requires(self, model: ir.Model) -> None:
        """They are there."""
        for name in self.inputs:
            named(model.graph.inputs, name, kind="input")
        for name in self.outputs:
            named(model.graph.outputs, name, kind="output")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """One Cast for each that changes."""
        modified = False
        for name, dtype in self.inputs.items():
            value = named(model.graph.inputs, name, kind="input")
            if value.dtype == dtype:
                continue
            assert value.dtype is not None
            assert value.shape is not None
            cast = _cast(f"preprocess.{name}.type", value.dtype)
            put_before_input(model.graph, name, as_list(cast), dtype=dtype, shape=value.shape)
            modified = True
        for name, dtype in self.outputs.items():
            value = named(model.graph.outputs, name, kind="output")
            if value.dtype == dtype:
                continue
            put_behind_output(
                model.graph, name, _cast(f"postprocess.{name}.type", dtype), dtype=dtype, shape=value.shape
            )
            modified = True
        return ir.passes.PassResult(model, modified)


def narrowed_types(model: ir.Model) -> ChangeTypes:
    """The pass that turns all inputs and outputs of 64-bit numbers into 32-bit ones."""

    def narrowed(values: list[ir.Value]) -> dict[str, ir.DataType]:
        return {str(value.name): _NARROWED[value.dtype] for value in values if value.dtype in _NARROWED}

    return ChangeTypes(narrowed(list(model.graph.inputs)), narrowed(list(model.graph.outputs)))


def _cast(name: str, dtype: ir.DataType) -> Callable[[ir.Value], ir.Node]:
    return lambda value: ir.node("Cast", [value], {"to": int(dtype)}, name=name)
