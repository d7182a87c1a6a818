"""What the machine as a whole does while figures are measured: its load, heat, frequency, and what is taken from it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil

from u2forge.measure.control_group import control_group_files
from u2forge.measure.machine import frequency_mhz

# Sensors of processors, by the names of their drivers.
_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")
_BUSY = ("user", "nice", "system", "irq", "softirq")
# Below these a median of some seconds hardly moves; figures that differ by 5 % are what perf promises to tell apart.
MOST_TAKEN = 0.02
MOST_SLOWDOWN = 0.05
# A quota's period is 0.1 s: in one of twenty it delays a few inferences, and no median.
MOST_THROTTLED_PERIODS = 0.05


@dataclass(frozen=True)
class MachineState:
    """One look at the machine. at_s: on a clock of seconds; temperature_c: of the processor's hottest sensor;
    frequency_mhz: mean of the processors. None: not told.

    processors: how many this process may run on; of those, since the start: busy_s, and stolen_s, what a virtual
    machine's host gave to others. quotas: of each control group with a quota of processor time that holds this process,
    by its place, the periods so far and those in which the quota held processes back.
    """

    at_s: float
    processors: int
    busy_s: float | None
    temperature_c: float | None
    frequency_mhz: float | None
    stolen_s: float | None
    quotas: Mapping[str, tuple[int, int]]


def read_machine_state() -> MachineState:
    """The machine's state now; it takes about 0.3 ms on two processors."""
    times = _usable_times()
    busy_s = sum(getattr(one, name, 0.0) for one in times for name in _BUSY)
    return MachineState(
        at_s=time.perf_counter(),
        processors=len(times) or 1,
        # Sandboxes show empty statistics.
        busy_s=busy_s or None,
        temperature_c=_temperature_c(),
        frequency_mhz=frequency_mhz(),
        stolen_s=sum(one.steal for one in times) if times and hasattr(times[0], "steal") else None,
        quotas=_quotas(),
    )


def _usable_times() -> list[Any]:
    """Of each processor that this process may run on, as psutil gives them: what happens on others does not concern
    it. Of all, where the system does not tell which."""
    times = psutil.cpu_times(percpu=True)
    try:
        usable = os.sched_getaffinity(0)
        return [times[number] for number in sorted(usable)]
    except (AttributeError, OSError, IndexError):  # with some switched off, places are no numbers any more
        return list(times)


def machine_warnings(pairs: Sequence[tuple[MachineState, MachineState]]) -> list[str]:
    """What was taken from the machine while it measured, and whether its processors became slower.

    pairs: states at the beginning and the end of each turn.
    """
    wall_s = sum(end.at_s - start.at_s for start, end in pairs)
    if not wall_s:
        return []
    found = []
    stolen = _taken([(start.stolen_s, end.stolen_s) for start, end in pairs])
    share = stolen / wall_s / pairs[-1][1].processors
    if share > MOST_TAKEN:
        found.append(
            f"the host of this virtual machine gave {share:.0%} of its processors' time to others meanwhile"
        )
    throttled = _throttled_share(pairs)
    if throttled > MOST_THROTTLED_PERIODS:
        found.append(
            f"the container's quota of processor time held processes back in {throttled:.0%} of its periods: "
            "choose fewer --threads, or a larger quota"
        )
    return found + _slowdown([end for _, end in pairs])


def _taken(pairs: Sequence[tuple[float | None, float | None]]) -> float:
    return sum(end - start for start, end in pairs if start is not None and end is not None)


def _throttled_share(pairs: Sequence[tuple[MachineState, MachineState]]) -> float:
    """The share of a quota's periods in which it held processes back, 0 to 1; of the group where it is largest."""
    totals: dict[str, tuple[int, int]] = {}
    for start, end in pairs:
        for group in start.quotas.keys() & end.quotas.keys():
            (periods_before, throttled_before), (periods, throttled) = start.quotas[group], end.quotas[group]
            sums = totals.get(group, (0, 0))
            totals[group] = (sums[0] + periods - periods_before, sums[1] + throttled - throttled_before)
    return max((throttled / periods for periods, throttled in totals.values() if periods), default=0.0)


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


def _quotas() -> dict[str, tuple[int, int]]:
    found = {}
    for path in control_group_files("cpu.stat", controller="cpu"):
        with suppress(OSError, ValueError, KeyError):  # without the two counts it has no quota
            facts = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            found[str(path.parent)] = (int(facts["nr_periods"]), int(facts["nr_throttled"]))
    return found
