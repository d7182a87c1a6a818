"""LayerTable: what an engine's own profiler says of each layer, joined with the work that the graph asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerRow:
    """One layer as the engine runs it, in the order of execution. operator, kernel and precision: as the engine calls
    them (precision: float32, bfloat16, float16, int8); stage: the part of the network, from the layer's name;
    ms: mean time of one inference; cumulative_ms: with all layers before it; share: of all layers' time, 0 to 1.

    macs: multiply-accumulates of one inference (the whole batch), 0 where it has none, those with padding counted;
    peak_share: of the processor's measured peak in that precision, None without work or peak, above 1 where a kernel
    leaves out much padding (wide dilations on small maps); bandwidth is not told by engines."""

    name: str
    stage: str
    operator: str
    kernel: str
    precision: str
    ms: float
    cumulative_ms: float
    share: float
    macs: int
    gmac_per_s: float | None
    peak_share: float | None


@dataclass(frozen=True)
class GroupRow:
    """Layers summed: by stage of the network, or by type of operator."""

    group: str
    layers: int
    ms: float
    share: float
    macs: int
    gmac_per_s: float | None


@dataclass(frozen=True)
class LayerTable:
    """peaks_gmac_per_s: the machine's measured peak by precision; bandwidth_gb_per_s: of its memory, measured.
    inferences: how many were averaged; profiler: whose figures these are; notes: why a peak is missing."""

    profiler: str
    inferences: int
    layers: tuple[LayerRow, ...]
    stages: tuple[GroupRow, ...]
    operators: tuple[GroupRow, ...]
    peaks_gmac_per_s: Mapping[str, float]
    bandwidth_gb_per_s: float | None
    notes: tuple[str, ...] = ()

    @property
    def total_ms(self) -> float:
        """Of all layers."""
        return sum(layer.ms for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
