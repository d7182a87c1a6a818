"""Where each step's arrays lie in the packed weights; sizes follow from a step's kind and channels alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from u2forge.native.pack_convolution import padded, padded_segments
from u2forge.native.plan import Kind, Offsets, Step
from u2forge.native.transform_weights import TAPS

# A cache line, which is also the widest vector.
ALIGNMENT = 64
# Weights of convolutions begin at a page, so that a step's pages are its own.
PAGE = 4096
_FLOAT_BYTES = 4
WEIGHT_BYTES = {"float32": 4, "bfloat16": 2, "int16": 2}


def laid_out(
    steps: Sequence[Step], segments: Sequence[tuple[Sequence[int], Sequence[int]]], *, precision: str
) -> tuple[list[Offsets], int]:
    """Each step's offsets, and the size of all arrays together in bytes.

    segments: by step, real channels of each part of its input and of its target.
    """
    offsets, end = [], 0
    for step, (inputs, outputs) in zip(steps, segments, strict=True):
        found = {}
        for name, size, alignment in _arrays(step, inputs, outputs, precision):
            found[name] = -(-end // alignment) * alignment
            end = found[name] + size
        offsets.append(Offsets(**found))
    return offsets, -(-end // PAGE) * PAGE


def _arrays(
    step: Step, inputs: Sequence[int], outputs: Sequence[int], precision: str
) -> Iterator[tuple[str, int, int]]:
    """(name of the field of Offsets, bytes, alignment) of each array that the step has."""
    blocked = padded_segments(outputs)
    kind, scaled = step.kind, precision == "int16"
    if kind is Kind.CONVOLUTION:
        numbers = step.algorithm.factors * padded_segments(inputs) * padded(sum(outputs))
        yield "weights", numbers * WEIGHT_BYTES[precision], PAGE
        yield "addend", blocked * _FLOAT_BYTES, ALIGNMENT
        if scaled:
            yield "multiplier", blocked * _FLOAT_BYTES, ALIGNMENT
        if scaled and step.residual is not None:
            yield "residual_multiplier", blocked * _FLOAT_BYTES, ALIGNMENT
    elif kind is Kind.FIRST_CONVOLUTION:
        yield "weights", TAPS * sum(inputs) * blocked * _FLOAT_BYTES, ALIGNMENT
        yield "addend", blocked * _FLOAT_BYTES, ALIGNMENT
    elif kind is Kind.SIDE_CONVOLUTION:
        yield "weights", sum(outputs) * TAPS * padded_segments(inputs) * _FLOAT_BYTES, ALIGNMENT
        yield "addend", sum(outputs) * _FLOAT_BYTES, ALIGNMENT
    elif kind is Kind.POINTWISE_CONVOLUTION:
        yield "weights", sum(outputs) * sum(inputs) * _FLOAT_BYTES, ALIGNMENT
        yield "addend", sum(outputs) * _FLOAT_BYTES, ALIGNMENT
    elif kind is Kind.NORMALIZE:
        yield "multiplier", sum(outputs) * _FLOAT_BYTES, ALIGNMENT
        yield "addend", sum(outputs) * _FLOAT_BYTES, ALIGNMENT
    elif kind is Kind.ADD and scaled:
        yield "multiplier", blocked * _FLOAT_BYTES, ALIGNMENT
        yield "residual_multiplier", blocked * _FLOAT_BYTES, ALIGNMENT
