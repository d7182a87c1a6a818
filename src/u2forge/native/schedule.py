"""The order of steps, and how convolutions are computed, where that saves memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from u2forge.native.network import Computation, Tensor
from u2forge.native.plan import Algorithm, Buffer, Kind, Step, View

_STEP, _LARGE_STEP = 4, 6
# Transformed, a 3×3 kernel is 36 numbers. Where it meets so few tiles, reading them takes about as long as the products
# that they save: of U²-Net in float32, layers on 10×10 pixels would take 5 ms of 400 less, and 71 MB of 680 more.
_FEW_TILES = 9
# Of 6×6 pixels, from here on: U²-Net's 320². A fifth fewer products than with tiles of 4×4. Smaller pictures have more
# channels, whose kernels would become 64 numbers each: 160² would save 1 % of the time for 7 MB, 320² saves 2.4 % for
# 2 MB.
_MANY_TILES = 1000
# What Winograd's products cost with the transforms around them.
_COST_OF_A_TRANSFORM = 1.6


def side_convolutions_first(
    computations: Sequence[Computation], views: Mapping[Tensor, View]
) -> tuple[Computation, ...]:
    """The computations, each side convolution right behind what it reads, which then needs no memory any longer: graphs
    have them at their end."""
    ordered: list[Computation] = []
    for computation in computations:
        place = len(ordered)
        if computation.kind is Kind.SIDE_CONVOLUTION:
            source = views[computation.source]
            while place and not _writes(ordered[place - 1], source, views):
                place -= 1
        ordered.insert(place, computation)
    return tuple(ordered)


def _writes(computation: Computation, view: View, views: Mapping[Tensor, View]) -> bool:
    targets = [computation.target, *([computation.pooled] if computation.pooled is not None else [])]
    return any(
        found.buffer == view.buffer
        and found.first < view.first + view.count
        and view.first < found.first + found.count
        for found in (views[target] for target in targets)
    )


def with_algorithms(steps: Sequence[Step], buffers: Sequence[Buffer], *, precision: str) -> tuple[Step, ...]:
    """The steps: in float32 convolutions of very small pictures without Winograd's transform, those of large ones with
    the larger one; in 16 bits those of a small dilation with it. In float32 its weights, four times as large, would
    cost more memory than the time is worth."""
    return tuple(
        replace(step, algorithm=_algorithm(step, buffers[step.source.buffer], precision))
        if step.kind is Kind.CONVOLUTION
        else step
        for step in steps
    )


def _algorithm(step: Step, buffer: Buffer, precision: str) -> Algorithm:
    if step.dilation == 1 and precision == "float32":
        if _tiles(buffer.height, buffer.width, _LARGE_STEP) >= _MANY_TILES:
            return Algorithm.WINOGRAD_6X6
        few = _tiles(buffer.height, buffer.width, _STEP) <= _FEW_TILES
        # Only Winograd's kernels give the 2×2 maxima, too.
        return Algorithm.DIRECT if few and step.pooled is None else Algorithm.WINOGRAD
    if step.dilation == 1:
        return Algorithm.WINOGRAD
    if precision == "float32" or step.residual is not None:
        return Algorithm.DIRECT
    # A convolution of dilation d is d² ordinary ones of every d-th row and column.
    d = step.dilation
    phases = d * d * _tiles(-(-buffer.height // d), -(-buffer.width // d), _STEP)
    taps = (1 + 2 * _share(buffer.height, d)) * (1 + 2 * _share(buffer.width, d))
    worth_it = (
        phases * Algorithm.WINOGRAD.factors * _COST_OF_A_TRANSFORM < buffer.height * buffer.width * taps
    )
    return Algorithm.WINOGRAD if worth_it else Algorithm.DIRECT


def _share(side: int, dilation: int) -> float:
    """Of the pixels, those whose neighbour `dilation` away lies in the picture, too."""
    return max(0, side - dilation) / side


def _tiles(height: int, width: int, step: int) -> int:
    return -(-height // step) * -(-width // step)
