"""A candidate's turns and what the machine did meanwhile → warnings: how far the figures can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from u2forge.measure.spread import Spread

# Above these the same command twice gives medians further apart than 5 %, or may. Measured on a shared machine of
# two processors: an idle one stays below 3 % of variation.
MOST_VARIATION = 0.10
MOST_DRIFT = 0.05
MOST_OTHER_LOAD = 0.05


def turn_warnings(latency: Spread, turn_medians: Sequence[float]) -> list[str]:
    """What the samples themselves tell: scattered, or slower (faster) from the first third of the turns to the last."""
    found = []
    if latency.variation > MOST_VARIATION:
        found.append(
            f"unstable: the latency varies by {latency.variation:.0%} (standard deviation / mean; more than "
            f"{MOST_VARIATION:.0%}): close other programs, or measure longer with --duration"
        )
    drift = turn_drift(turn_medians)
    if drift is not None and abs(drift) > MOST_DRIFT:
        found.append(
            f"drift: the last turns were {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first "
            "ones: heat, or another load that came or went"
        )
    return found


def turn_drift(turn_medians: Sequence[float]) -> float | None:
    """The median of the last third of the turns by that of the first, less 1; None for fewer than six turns."""
    third = len(turn_medians) // 3
    if third < 2:
        return None
    return median(turn_medians[-third:]) / median(turn_medians[:third]) - 1


def percentile_warnings(count: int, percentiles: Sequence[float]) -> list[str]:
    """The percentiles that so few samples cannot tell: a percentile p needs 100 / (100 - p) of them, or 100 / p."""
    short = [(percent, needed) for percent in percentiles if count < (needed := samples_needed(percent))]
    if not short:
        return []
    worst = max(needed for _, needed in short)
    names = ", ".join(f"p{percent:g}" for percent, _ in short)
    return [
        f"too few samples for {names}: {count}, of at least {worst}; measure longer with --iterations {worst}"
    ]


def samples_needed(percent: float) -> int:
    """The fewest samples of which at least one lies beyond the percentile."""
    beyond = min(percent, 100 - percent)
    return 1 if beyond <= 0 else math.ceil(100 / beyond - 1e-9)


def load_warnings(other_load: float | None) -> list[str]:
    """other_load: the share of the processors that other processes used meanwhile, 0 to 1; None: not known."""
    if other_load is None or other_load <= MOST_OTHER_LOAD:
        return []
    return [
        f"other programs used {other_load:.0%} of the processors meanwhile: figures are of a machine that was not idle"
    ]
