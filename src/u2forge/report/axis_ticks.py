"""Where an axis has its ticks: round numbers, and what to write beside them."""

from __future__ import annotations

import math

# Steps of a decade that people count in.
_ROUND_STEPS = (1.0, 2.0, 5.0, 10.0)


def ticks(low: float, high: float, *, most: int = 6, whole: bool = False) -> list[float]:
    """Multiples of a round step within [low, high], about `most` of them. whole: of a step of at least 1."""
    step = _round_step((high - low) / most, whole=whole)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """The value with as many decimals as its step has."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals > 6 or abs(value) >= 1e7:
        return f"{value:.2g}"
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _round_step(rough: float, *, whole: bool) -> float:
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(decade * factor for factor in _ROUND_STEPS if decade * factor >= rough * (1 - 1e-9))
    return max(1.0, step) if whole else step
