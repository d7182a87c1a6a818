"""Fixes the picture size of a graph of open size, and its batch where one is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from u2forge.input_limits import LARGEST_BATCH, LARGEST_SIDE, SMALLEST_SIDE
from u2forge.passes.freeze_inputs import FreezeInputs
from u2forge.passes.refusal import RefusedGraphError


@dataclass(frozen=True)
class FreezeShapes(ir.passes.InPlacePass):
    """Sets the input to (batch, channels, height, width), and the outputs to what follows.

    batch: None leaves it open. Refuses sizes beyond the limits, and a graph that is fixed to another size.
    """

    batch: int | None
    height: int
    width: int

    def requires(self, model: ir.Model) -> None:
        """One NCHW input whose open or equal axes take the asked sizes."""
        self._check_limits()
        inputs = model.graph.inputs
        shape = inputs[0].shape if len(inputs) == 1 else None
        asked = (self.batch, None, self.height, self.width)
        if shape is not None and len(shape) == 4 and all(map(_fits, shape, asked)):
            return
        found = ", ".join(f"{value.name} {value.shape}" for value in inputs)
        raise RefusedGraphError(
            where="graph, input",
            expected=f"one input that can be ({self.batch or 'N'}, C, {self.height}, {self.width})",
            found=found or "none",
            fix="start from the float graph that u2forge exports, whose size is open",
        )

    def _check_limits(self) -> None:
        for name, side in (("input height", self.height), ("input width", self.width)):
            if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
                raise RefusedGraphError(
                    where=name,
                    expected=f"{SMALLEST_SIDE} to {LARGEST_SIDE} pixels",
                    found=str(side),
                    fix="choose a size in between; the official one is 320",
                )
        if self.batch is not None and not 1 <= self.batch <= LARGEST_BATCH:
            raise RefusedGraphError(
                where="batch size",
                expected=f"1 to {LARGEST_BATCH}, or dynamic",
                found=str(self.batch),
                fix="choose a batch in between",
            )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Sets the input's sizes."""
        value = model.graph.inputs[0]
        assert value.shape is not None
        batch, channels = (size if isinstance(size, int) else None for size in value.shape[:2])
        shape = (self.batch or batch, channels, self.height, self.width)
        return FreezeInputs({str(value.name): shape}).call(model)


def _fits(size: object, asked: int | None) -> bool:
    return asked is None or not isinstance(size, int) or size == asked
