"""What the machine as a whole does while figures are measured: its load, heat, frequency, and what is taken from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from u2forge.measure.machine import frequency_mhz

# Sensors of processors, by the names of their drivers.
_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")
_BUSY = ("user", "nice", "system", "irq", "softirq")
_CGROUP2_STATISTICS = Path("/sys/fs/cgroup/cpu.stat")
# Below these a median of some seconds hardly moves; figures that differ by 5 % are what perf promises to tell apart.
MOST_TAKEN = 0.02
MOST_SLOWDOWN = 0.05


@dataclass(frozen=True)
class MachineState:
    """One look at the machine. at_s: on a clock of seconds; busy_s: of all processors, since the start; temperature_c:
    of the processor's hottest sensor; frequency_mhz: mean of the processors; stolen_s: what a virtual machine's host
    gave to others; throttled_s: for how long the container's quota held processes back. None: not told."""

    at_s: float
    busy_s: float | None
    temperature_c: float | None
    frequency_mhz: float | None
    stolen_s: float | None
    throttled_s: float | None


def read_machine_state() -> MachineState:
    """The machine's state now; it takes about 0.2 ms."""
    times = psutil.cpu_times()
    busy_s = sum(getattr(times, name, 0.0) for name in _BUSY)
    return MachineState(
        at_s=time.perf_counter(),
        # Sandboxes show empty statistics.
        busy_s=busy_s or None,
        temperature_c=_temperature_c(),
        frequency_mhz=frequency_mhz(),
        stolen_s=getattr(times, "steal", None),
        throttled_s=_throttled_s(),
    )


def machine_warnings(pairs: Sequence[tuple[MachineState, MachineState]]) -> list[str]:
    """What was taken from the machine while it measured, and whether its processors became slower.

    pairs: states at the beginning and the end of each turn.
    """
    wall_s = sum(end.at_s - start.at_s for start, end in pairs)
    if not wall_s:
        return []
    found = []
    stolen = _taken([(start.stolen_s, end.stolen_s) for start, end in pairs])
    share = stolen / wall_s / (psutil.cpu_count() or 1)
    if share > MOST_TAKEN:
        found.append(
            f"the host of this virtual machine gave {share:.0%} of its processors' time to others meanwhile"
        )
    throttled = _taken([(start.throttled_s, end.throttled_s) for start, end in pairs]) / wall_s
    if throttled > MOST_TAKEN:
        found.append(
            f"the container's quota of processor time held processes back for {throttled:.0%} of the time: "
            "choose fewer --threads, or a larger quota"
        )
    return found + _slowdown([end for _, end in pairs])


def _taken(pairs: Sequence[tuple[float | None, float | None]]) -> float:
    return sum(end - start for start, end in pairs if start is not None and end is not None)


def _slowdown(states: Sequence[MachineState]) -> list[str]:
    """Whether the last third of the states shows a lower frequency than the first."""
    frequencies = [state.frequency_mhz for state in states if state.frequency_mhz is not None]
    third = len(frequencies) // 3
    if third < 2:
        return []
    before, after = median(frequencies[:third]), median(frequencies[-third:])
    if after >= before * (1 - MOST_SLOWDOWN):
        return []
    heat = [state.temperature_c for state in states if state.temperature_c is not None]
    hottest = f", at up to {max(heat):.0f} °C" if heat else ""
    return [f"the processors' frequency fell from {before:.0f} to {after:.0f} MHz meanwhile{hottest}"]


def _temperature_c() -> float | None:
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):  # not on this system
        return None
    readings = [reading.current for name in _SENSORS for reading in sensors.get(name, ())]
    return max(readings, default=None)


def _throttled_s() -> float | None:
    try:
        lines = _CGROUP2_STATISTICS.read_text(encoding="ascii").splitlines()
        facts = dict(line.split() for line in lines)
        return int(facts["throttled_usec"]) / 1e6
    except (OSError, ValueError, KeyError):
        return None
