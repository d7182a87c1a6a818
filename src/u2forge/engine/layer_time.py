"""LayerTime: one layer as an engine's own profiler saw it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Convolution, QLinearConv, NhwcFusedConv, …; no conversion of types.
_CONVOLUTION = re.compile(r"conv(?!ert)", re.IGNORECASE)


@dataclass(frozen=True)
class LayerTime:
    """name: of the graph's node, or of one of those that the layer does, without what the engine appends to it; of
    what the engine inserts, the engine's own. operator, kernel: as the engine calls them; precision: what it computes
    in. ms: mean over the inferences; best_ms: the shortest of them."""

    name: str
    operator: str
    kernel: str
    precision: str
    ms: float
    best_ms: float

    @property
    def is_convolution(self) -> bool:
        """Whether the engine calls it one."""
        return _CONVOLUTION.search(self.operator) is not None
