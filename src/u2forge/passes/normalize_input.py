"""Mean and variance of a picture's channels, put in front of the network: 8-bit pictures in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from u2forge.passes.interface import picture_input
from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import add_initializer, put_before_input


@dataclass(frozen=True)
class NormalizeInput(ir.passes.InPlacePass):
    """Turns one float32 (N, C, H, W) input into uint8, (x - mean) / sqrt(variance) by channel inside the graph.

    An input that is uint8 already is left alone. Refuses other inputs, another number of channels, and variances that
    are not above 0.
    """

    name: str
    mean: tuple[float, ...]
    variance: tuple[float, ...]

    def requires(self, model: ir.Model) -> None:
        """One mean and one positive variance for each channel."""
        value = picture_input(model, self.name)
        channels = value.shape[1] if value.shape is not None else None
        fits = len(self.mean) == len(self.variance) == channels and min(self.variance) > 0
        if value.dtype == ir.DataType.UINT8 or (value.dtype == ir.DataType.FLOAT and fits):
            return
        raise RefusedGraphError(
            where=f"graph, input {self.name!r}, mean and variance",
            expected=f"float32 (N, C, H, W), a mean and a variance above 0 for each of its {channels} channels",
            found=f"{value.dtype}, {len(self.mean)} means and the variances {list(self.variance)}",
            fix="give one of each for every channel; the variance is the square of the deviation",
        )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Cast, and (x - mean) / sqrt(variance) as one Mul and one Add."""
        graph = model.graph
        value = picture_input(model, self.name)
        if value.dtype == ir.DataType.UINT8:
            return ir.passes.PassResult(model, False)
        assert value.shape is not None
        mean, deviation = np.array(self.mean), np.sqrt(np.array(self.variance))

        def constant(name: str, array: Any) -> ir.Value:
            shaped = array.astype(np.float32).reshape(1, -1, 1, 1)
            return add_initializer(graph, f"preprocess.{self.name}.{name}", shaped)

        def chain(pixels: ir.Value) -> list[ir.Node]:
            cast = ir.node(
                "Cast", [pixels], {"to": int(ir.DataType.FLOAT)}, name=f"preprocess.{self.name}.cast"
            )
            scale, offset = constant("scale", 1 / deviation), constant("offset", -mean / deviation)
            multiply = ir.node("Mul", [cast.outputs[0], scale], name=f"preprocess.{self.name}.multiply")
            add = ir.node("Add", [multiply.outputs[0], offset], name=f"preprocess.{self.name}.add")
            cast.outputs[0].name, multiply.outputs[0].name = str(cast.name), str(multiply.name)
            return [cast, multiply, add]

        put_before_input(graph, self.name, chain, dtype=ir.DataType.UINT8, shape=value.shape)
        return ir.passes.PassResult(model, True)
