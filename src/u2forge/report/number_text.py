"""Numbers → text: rates by the digits that count, milliseconds to the microsecond; nothing for none."""

from __future__ import annotations

import math
from collections.abc import Sequence


def short_number(value: float | None, *, digits: int = 4) -> str:
    """The number with at least so many digits that count, without an exponent below a thousand million."""
    if value is None or not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -9 < magnitude < 9:
        return f"{value:.{digits - 1}g}"
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def number_column(values: Sequence[float | None], *, digits: int = 3) -> list[str]:
    """The numbers with the same decimals, as many as the smallest needs for its digits that count (4 at most)."""
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value) and value]
    magnitude = math.floor(math.log10(min(sizes))) if sizes else 0
    return [fixed_number(value, min(4, max(0, digits - 1 - magnitude))) for value in values]


def fixed_number(value: float | None, decimals: int = 3) -> str:
    """The number with so many decimals; 3 for milliseconds, which clocks tell no finer than by the microsecond."""
    return "" if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A share of 1 in percent, without the sign: that stands in the heading."""
    return fixed_number(None if share is None else 100 * share, decimals)
