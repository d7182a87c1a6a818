"""What each step is to someone who reads a profile: its node, what it does, how, and in what numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.native.encode import ALGORITHM_COLUMN, KIND_COLUMN
from u2forge.native.plan import Algorithm, Kind

_CONVOLUTIONS = (
    Kind.FIRST_CONVOLUTION,
    Kind.CONVOLUTION,
    Kind.SIDE_CONVOLUTION,
    Kind.POINTWISE_CONVOLUTION,
)
# On levels where there are any.
_BLOCKED = (Kind.CONVOLUTION, Kind.POOL, Kind.RESIZE, Kind.ADD, Kind.COPY)


@dataclass(frozen=True)
class Layer:
    """name: the graph's node. operator: a Kind's name. kernel: how it is computed. precision: of its arithmetic."""

    name: str
    operator: str
    kernel: str
    precision: str
    is_convolution: bool


def layers_of(names: Sequence[str], steps: NDArray[np.int64], *, precision: str) -> tuple[Layer, ...]:
    """One for each step. steps: the table of encode. Raises ValueError on a kind that there is not."""
    return tuple(
        layer_of(name, Kind(int(row[KIND_COLUMN])), Algorithm(int(row[ALGORITHM_COLUMN])), precision)
        for name, row in zip(names, steps, strict=True)
    )


def layer_of(name: str, kind: Kind, algorithm: Algorithm, precision: str) -> Layer:
    """What one step is in a plan of that precision."""
    on_levels = kind in _BLOCKED and precision == "int16"
    in_half = kind is Kind.CONVOLUTION and precision == "bfloat16"
    return Layer(
        name=name,
        operator=kind.name.lower(),
        kernel=algorithm.name.lower() if kind is Kind.CONVOLUTION else "direct",
        precision=precision if on_levels or in_half else "float32",
        is_convolution=kind in _CONVOLUTIONS,
    )
