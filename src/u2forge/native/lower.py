"""An offline model's graph → the steps that the native kernels execute, and what their packed weights are made of."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from u2forge.native.fuse import fused
from u2forge.native.network import Computation, Normalization
from u2forge.native.placement import placed
from u2forge.native.plan import Buffer, Step
from u2forge.native.recognize_operators import recognized_network
from u2forge.native.schedule import side_convolutions_first
from u2forge.native.stored_weights import ConvolutionWeights


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a step's packed arrays are made of.

    input_segments: channels of each part of what it reads, in the order of memory; each blocked part is padded to
    whole groups, a planar input is one part. sources: by part, the activation whose calibrated ranges hold.
    target_segments, targets: the same of what it writes; residual_segments, residual_sources: of what it adds, empty
    where it adds nothing. conv_name: the Conv's name, by which ranges before rectification are known.
    """

    input_segments: tuple[int, ...]
    sources: tuple[str, ...]
    target_segments: tuple[int, ...]
    targets: tuple[str, ...]
    residual_segments: tuple[int, ...] = ()
    residual_sources: tuple[str, ...] = ()
    conv_name: str | None = None
    weights: ConvolutionWeights | None = None
    normalization: Normalization | None = None


@dataclass(frozen=True, eq=False)
class Lowered:
    """steps: without what packing decides: offsets and eight_pairs. ingredients: one for each step."""

    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    ingredients: tuple[Ingredients, ...]


def lower(model: ir.Model, *, sums_in_place: bool = False) -> Lowered:
    """The steps of a graph of one fixed picture size; its batch does not matter. model: a valid one (read_onnx checks
    that of a file), which stays as it is. sums_in_place: see placed.

    Raises EngineError on what the kernels do not compute, by the name of its node; ModelError on contradictory shapes.
    """
    placement = placed(fused(recognized_network(model)), sums_in_place=sums_in_place)
    views = placement.views
    computations = side_convolutions_first(placement.computations, views)
    steps = tuple(
        Step(
            computation.kind,
            computation.name,
            source=views[computation.source],
            target=views[computation.target],
            residual=None if computation.residual is None else views[computation.residual],
            pooled=None if computation.pooled is None else views[computation.pooled],
            algorithm=computation.algorithm,
            dilation=computation.dilation,
        )
        for computation in computations
    )
    return Lowered(placement.buffers, steps, tuple(map(_ingredients, computations)))


def _ingredients(computation: Computation) -> Ingredients:
    residual = computation.residual
    return Ingredients(
        input_segments=computation.source.segments,
        sources=computation.source.sources,
        target_segments=computation.target.segments,
        targets=computation.target.sources,
        residual_segments=() if residual is None else residual.segments,
        residual_sources=() if residual is None else residual.sources,
        conv_name=None if computation.weights is None else computation.name,
        weights=computation.weights,
        normalization=computation.normalization,
    )
