"""An offline model's graph → the plan of its steps and the packed weights, array after array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.native.layers import Layer, layer_of
from u2forge.native.lower import Lowered, lower
from u2forge.native.plan import Offsets, Plan
from u2forge.native.prepared_header import FoundTensor
from u2forge.native.schedule import with_algorithms
from u2forge.native.step_arrays import step_arrays
from u2forge.native.weights_layout import PAGE, laid_out
from u2forge.quantize.native_ranges import NativeRanges

# Takes (offset in bytes, array), offsets ascending; bytes that no array covers are zeros.
Write = Callable[[int, NDArray[Any]], None]


@dataclass(frozen=True, eq=False)
class CompiledPlan:
    """What there is to execute, its weights not packed yet: only packing holds them, a step's at a time.

    inputs, outputs: the graph's, in the order of their indices. size_bytes: of all packed weights.
    """

    precision: str
    inputs: tuple[FoundTensor, ...]
    outputs: tuple[FoundTensor, ...]
    size_bytes: int
    _lowered: Lowered
    _offsets: tuple[Offsets, ...]
    _ranges: NativeRanges | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What each step is."""
        return tuple(
            layer_of(step.name, step.kind, step.algorithm, self.precision) for step in self._lowered.steps
        )

    def pack(self, write: Write) -> Plan:
        """The plan; hands each packed array to `write`. Raises ModelError where calibrated ranges do not fit."""
        steps = []
        for step, ingredients, offsets in zip(
            self._lowered.steps, self._lowered.ingredients, self._offsets, strict=True
        ):
            made = step_arrays(step, ingredients, precision=self.precision, ranges=self._ranges)
            for name, array in sorted(made.arrays.items(), key=lambda item: getattr(offsets, item[0])):
                write(getattr(offsets, name), array)
            steps.append(replace(step, offsets=offsets, eight_pairs=made.eight_pairs))
        return Plan(self.precision, self._lowered.buffers, tuple(steps))


def compile_plan(model: ir.Model, precision: str, ranges: NativeRanges | None = None) -> CompiledPlan:
    """What the kernels execute of a valid graph of one picture size.

    precision: float32, bfloat16 or int16; ranges: of int16, what it was calibrated with. Raises EngineError on what
    the kernels do not compute.
    """
    lowered = lower(model, sums_in_place=True)
    lowered = replace(lowered, steps=with_algorithms(lowered.steps, lowered.buffers, precision=precision))
    segments = [(part.input_segments, part.target_segments) for part in lowered.ingredients]
    offsets, size_bytes = laid_out(lowered.steps, segments, precision=precision)
    return CompiledPlan(
        precision=precision,
        inputs=tuple(map(_found_tensor, model.graph.inputs)),
        outputs=tuple(map(_found_tensor, model.graph.outputs)),
        size_bytes=size_bytes,
        _lowered=lowered,
        _offsets=tuple(offsets),
        _ranges=ranges,
    )


def _found_tensor(value: ir.Value) -> FoundTensor:
    sizes = () if value.shape is None else tuple(value.shape)
    dtype = "" if value.dtype is None else str(value.dtype.numpy())
    return str(value.name), dtype, tuple(size if isinstance(size, int) else None for size in sizes)


def packed_in_memory(compiled: CompiledPlan) -> tuple[Plan, NDArray[np.uint8]]:
    """The plan and its packed weights, which begin at a page."""
    memory = np.zeros(compiled.size_bytes + PAGE, np.uint8)
    first = -memory.ctypes.data % PAGE
    weights = memory[first : first + compiled.size_bytes]

    def write(offset: int, array: NDArray[Any]) -> None:
        weights[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)

    return compiled.pack(write), weights
