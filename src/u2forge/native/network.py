"""A graph as the kernels see it: tensors of one layout each, and what is computed and joined, in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.native.plan import GROUP, Algorithm, Kind, Layout
from u2forge.native.stored_weights import ConvolutionWeights


@dataclass(frozen=True, eq=False)
class Tensor:
    """One value. segments: how many channels each of its parts has, in the order in which they lie in memory; a
    blocked part fills whole groups. sources: by part, the activation whose calibrated ranges hold for it. A planar
    tensor is one part."""

    name: str
    layout: Layout
    height: int
    width: int
    segments: tuple[int, ...]
    sources: tuple[str, ...]

    @property
    def channels(self) -> int:
        """How many channels it has, without padding."""
        return sum(self.segments)

    @property
    def count(self) -> int:
        """Its groups where it is blocked, else its channels: what a View counts."""
        if self.layout is Layout.BLOCKED:
            return sum(-(-channels // GROUP) for channels in self.segments)
        return self.channels


@dataclass(frozen=True, eq=False)
class Normalization:
    """value * scale + offset, by channel: (3,) each, of pictures divided by their largest value."""

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Computation:
    """One step before it has a place in memory. name: the node's, of a convolution the Conv's."""

    kind: Kind
    name: str
    source: Tensor
    target: Tensor
    residual: Tensor | None = None
    pooled: Tensor | None = None
    algorithm: Algorithm = Algorithm.DIRECT
    dilation: int = 1
    weights: ConvolutionWeights | None = None
    normalization: Normalization | None = None


@dataclass(frozen=True, eq=False)
class Join:
    """A concatenation of channels."""

    name: str
    parts: tuple[Tensor, ...]
    target: Tensor


Operation = Computation | Join


@dataclass(frozen=True, eq=False)
class Network:
    """Operations in an order in which they can be executed."""

    inputs: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Tensor, ...]
