"""A candidate's turns and what the machine did meanwhile → warnings: how far the figures can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from u2forge.measure.noise_band import noise_band
from u2forge.measure.spread import Spread

MOST_VARIATION = 0.10
# The same command twice is to give medians within 5 %, or to say that it cannot.
MOST_NOISE = 0.05
MOST_DRIFT = 0.05
MOST_OTHER_LOAD = 0.05
LEAST_FREE_MEMORY = 0.05


def turn_warnings(latency: Spread, turn_medians: Sequence[float]) -> list[str]:
    """What the samples themselves tell: scattered; of medians that another run may miss; slower (faster) from the first
    third of the turns to the last."""
    found = []
    if latency.variation > MOST_VARIATION:
        found.append(
            f"unstable: the latency varies by {latency.variation:.0%} (standard deviation / mean; more than "
            f"{MOST_VARIATION:.0%}): close other programs, or measure longer with --duration"
        )
    noise = repeat_noise(turn_medians)
    if noise is None:
        found.append(
            "a single turn: how far another run would be off is not known; measure longer with --duration"
        )
    elif noise > MOST_NOISE:
        found.append(
            f"noise: the median of another run may differ by {noise:.0%} (more than {MOST_NOISE:.0%}), as far as "
            "the turns tell: close other programs, or measure longer with --duration"
        )
    drift = turn_drift(turn_medians)
    if drift is not None:
        found.append(
            f"drift: the last turns were {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first "
            "ones: heat, or another load that came or went"
        )
    return found


def repeat_noise(turn_medians: Sequence[float]) -> float | None:
    """By how much the median of another such run may be larger, at about 95 %; None for a single turn."""
    band = noise_band(0.0, turn_medians, turn_medians)
    return None if band is None else band.high


def turn_drift(turn_medians: Sequence[float]) -> float | None:
    """The median of the last third of the turns by that of the first, less 1; None where that is no more than
    MOST_DRIFT or than the noise of these turns, or where there are fewer than six turns."""
    third = len(turn_medians) // 3
    if third < 2:
        return None
    first, last = turn_medians[:third], turn_medians[-third:]
    drift = median(last) / median(first) - 1
    band = noise_band(drift, first, last)
    if abs(drift) <= MOST_DRIFT or band is None or band.low <= 0 <= band.high:
        return None
    return drift


def memory_warnings(available: int, total: int) -> list[str]:
    """available, total: bytes of the machine's memory, with all candidates open."""
    if available > LEAST_FREE_MEMORY * total:
        return []
    return [
        f"memory: {available / 1e6:.0f} MB were left with all candidates open: fewer at once are measured more truly"
    ]


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
