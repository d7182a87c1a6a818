"""Which layers cost most, and the fewest that have to stay in float until a limit holds. Pure: the caller measures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCost:
    """What a layer's quantization costs: the loss with all layers quantized, less the loss with this one in float."""

    name: str
    gain: float


def rank_layers(
    loss_with_float: Callable[[Collection[str]], float],
    layers: Sequence[str],
    *,
    on_layer: Callable[[str], None] | None = None,
) -> list[LayerCost]:
    """The layers, the most costly first. loss_with_float: the loss when these layers stay in float."""
    everything = loss_with_float(())
    costs = []
    for name in layers:
        costs.append(LayerCost(name, everything - loss_with_float((name,))))
        if on_layer is not None:
            on_layer(name)
    # sorted() is stable: of equals, the earlier layer first.
    return sorted(costs, key=lambda cost: -cost.gain)


def fewest_float_layers(
    holds_with_float: Callable[[Collection[str]], bool],
    ranked: Sequence[str],
    *,
    weight: Mapping[str, float],
    most_weight: float,
) -> tuple[str, ...] | None:
    """The shortest beginning of `ranked` with which the limit holds, less those of it that turn out not to be needed;
    None where the limit does not hold with the longest one allowed.

    weight: each layer's share of the work; most_weight: of all that stays in float. A layer that alone would go
    beyond it is passed over.
    """
    allowed, total = [], 0.0
    for name in ranked:
        if total + weight[name] <= most_weight:
            allowed.append(name)
            total += weight[name]
    if not allowed:
        return None
    # Doubling, then halving the gap: each trial costs a compilation and a run over the pictures.
    low, high = 0, 1
    while not holds_with_float(allowed[:high]):
        if high == len(allowed):
            return None
        low, high = high, min(high * 2, len(allowed))
    while high - low > 1:
        middle = (low + high) // 2
        if holds_with_float(allowed[:middle]):
            high = middle
        else:
            low = middle
    kept = allowed[:high]
    for name in list(reversed(kept))[1:]:
        rest = [other for other in kept if other != name]
        if rest and holds_with_float(rest):
            kept = rest
    return tuple(kept)
