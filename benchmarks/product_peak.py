"""The most multiply-accumulates a second that the native kernels' products reach: on data that caches hold.

A chain of direct 3×3 convolutions, whose weights and pictures stay in the second cache of each processor: nearly all of
its time is the product's inner loop. The fastest layer of all shapes and repetitions: another load makes times longer,
never shorter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from u2forge.native import _kernels
from u2forge.native.encode import encoded_buffers, encoded_steps
from u2forge.native.pack_convolution import rounded_to_bfloat16
from u2forge.native.plan import GROUP, Algorithm, Buffer, Kind, Layout, Offsets, Plan, Step, View
from u2forge.native.weights_layout import PAGE, laid_out

# Channels and side; the wider a layer, the less its edges and the copy of its pixels count.
_SHAPES = ((64, 24), (64, 48), (96, 24), (128, 24), (192, 12))
_LAYERS = 4
_REPEAT = 60
_VALUE = 0.01
_INTEGER = 100


def product_peak(precision: str, *, threads: int, level: str) -> float:
    """GMAC/s of all threads together, in float32, bfloat16 or int16; products with the padding do not count."""
    best = 0.0
    for channels, side in _SHAPES:
        plan = _plan(precision, channels=channels, side=side)
        program = _kernels.Program(
            precision, encoded_buffers(plan), encoded_steps(plan), _weights(plan, channels=channels)
        )
        session = program.session(threads, level)
        picture = np.full((1, 1, side, side), _VALUE, np.float32)
        answer = np.empty((1, 1, side, side), np.float32)
        times_ms = np.zeros((_REPEAT, len(plan.steps)))
        for row in times_ms:
            session.run([picture], [answer], row)
        macs = (channels * (3 * side - 2)) ** 2
        # Neither the convolution of the picture nor the one that gives the logits.
        best = max(best, macs / float(times_ms[:, 1:-1].min()) / 1e6)
    return best


def _plan(precision: str, *, channels: int, side: int) -> Plan:
    groups = channels // GROUP
    between = [Buffer(Layout.BLOCKED, groups, side, side) for _ in range(_LAYERS + 1)]
    buffers = (
        Buffer(Layout.PLANAR, 1, side, side, input_index=0),
        *between,
        Buffer(Layout.PLANAR, 1, side, side, output_index=0),
    )
    kinds = (Kind.FIRST_CONVOLUTION, *[Kind.CONVOLUTION] * _LAYERS, Kind.SIDE_CONVOLUTION)
    steps = tuple(
        Step(
            kind,
            f"step {index}",
            source=View(index, 0, buffers[index].count),
            target=View(index + 1, 0, buffers[index + 1].count),
            algorithm=Algorithm.DIRECT,
            dilation=1,
            eight_pairs=16 * _INTEGER,
        )
        for index, kind in enumerate(kinds)
    )
    sizes = [1, *[channels] * (_LAYERS + 1), 1]
    segments = [((read,), (written,)) for read, written in pairwise(sizes)]
    offsets, _ = laid_out(steps, segments, precision=precision)
    return Plan(precision, buffers, tuple(replace(s, offsets=o) for s, o in zip(steps, offsets, strict=True)))


def _weights(plan: Plan, *, channels: int) -> np.ndarray:
    """All arrays of the plan filled with one small number of their own type, at a page's beginning."""
    arrays = list(_arrays(plan, channels))
    size = max(offset + array.nbytes for offset, array in arrays)
    memory = np.zeros(size + 2 * PAGE, np.uint8)
    first = -memory.ctypes.data % PAGE
    weights = memory[first : first + -(-size // PAGE) * PAGE]
    for offset, array in arrays:
        weights[offset : offset + array.nbytes] = array.view(np.uint8)
    return weights


def _arrays(plan: Plan, channels: int) -> Iterator[tuple[int, np.ndarray]]:
    stored: dict[str, np.ndarray] = {
        "float32": np.full(1, _VALUE, np.float32),
        "bfloat16": rounded_to_bfloat16(np.full(1, _VALUE, np.float32)),
        "int16": np.full(1, _INTEGER, np.int16),
    }
    for step in plan.steps:
        offsets: Offsets = step.offsets
        inner = step.kind is Kind.CONVOLUTION
        assert offsets.weights is not None
        numbers = 9 * (channels**2 if inner else channels)
        one = stored[plan.precision] if inner else stored["float32"]
        yield offsets.weights, one.repeat(numbers)
        if offsets.multiplier is not None:
            # Levels stay levels.
            yield offsets.multiplier, np.full(channels, 1 / (900 * channels), np.float32)
        if offsets.addend is not None:
            yield offsets.addend, np.zeros(1 if step.kind is Kind.SIDE_CONVOLUTION else channels, np.float32)
