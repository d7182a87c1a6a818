"""The channels of an input reversed in front of the network: RGB pictures for one that expects BGR, or back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from u2forge.passes.interface import picture_input
from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import add_initializer, put_before_input

_CHANNELS = 3


@dataclass(frozen=True)
class ReverseChannels(ir.passes.InPlacePass):
    """Puts a Gather of the channels 2, 1, 0 behind one (N, 3, H, W) input. Refuses inputs of other channels.

    Each run reverses them once more.
    """

    name: str

    def requires(self, model: ir.Model) -> None:
        """The input has three channels."""
        value = picture_input(model, self.name)
        if value.shape is not None and value.shape[1] == _CHANNELS:
            return
        raise RefusedGraphError(
            where=f"graph, input {self.name!r}",
            expected="three channels to reverse, (N, 3, H, W)",
            found=f"{value.dtype} {value.shape}",
            fix="leave its channels as they are",
        )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Before the first node."""
        value = picture_input(model, self.name)
        assert value.shape is not None
        assert value.dtype is not None
        order = add_initializer(model.graph, f"preprocess.{self.name}.channels", np.array([2, 1, 0]))

        def gather(pixels: ir.Value) -> list[ir.Node]:
            name = f"preprocess.{self.name}.reverse"
            return [ir.node("Gather", [pixels, order], {"axis": 1}, name=name)]

        put_before_input(model.graph, self.name, gather, dtype=value.dtype, shape=value.shape)
        return ir.passes.PassResult(model, True)
