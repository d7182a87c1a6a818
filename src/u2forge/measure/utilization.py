"""UtilizationSampler: what processes, the machine and its GPU do while candidates have their turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import psutil

from u2forge.measure.machine_state import MachineState, machine_warnings, read_machine_state
from u2forge.measure.nvidia_gpu import NvidiaGpu, open_nvidia_gpu
from u2forge.measure.perf_row import UTILIZATION
from u2forge.measure.spread import Spread, spread_of

_INTERVAL_S = 0.1
# The system counts processor time in steps of 10 ms on each processor: of less, the load would be noise.
_LEAST_TURNS_S = 0.5


@dataclass
class _Watched:
    """One process. samples: by UTILIZATION. window_s, window_cpu_s: of its turns since the last sample, so that turns
    shorter than an interval count too. others_s: processor time of all other processes in its turns, of turns_s;
    gpu: the NVIDIA GPU that it runs on."""

    process: psutil.Process
    gpu: NvidiaGpu | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)
    window_s: float = 0.0
    window_cpu_s: float = 0.0
    others_s: float | None = 0.0
    turns_s: float = 0.0


@dataclass
class _Reading:
    """A moment in a turn. cpu_s: of the process that has it."""

    at_s: float
    cpu_s: float


@dataclass
class _Turn:
    watched: _Watched
    machine: MachineState
    own_s: float
    start: _Reading
    last: _Reading


class UtilizationSampler:
    """Samples whichever process has its turn, in a thread of its own, about ten times a second.

    Without a GPU that takes 0.4 % of one processor. What concerns the whole machine is read between turns.
    """

    def __init__(self, *, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._own = psutil.Process()
        self._watched: dict[int, _Watched] = {}
        self._turn: _Turn | None = None
        self._states: list[tuple[MachineState, MachineState]] = []
        self._lock = threading.Lock()
        self._processors = 1

    @contextmanager
    def watching(
        self, pids: Sequence[int], *, gpu: Mapping[int, str] = MappingProxyType({})
    ) -> Iterator[None]:
        """Within the block, turns of these processes are sampled. gpu: the NVIDIA GPUs that some of them run on, by the
        names that their engines have for them; the others get no figures of any."""
        gpus = {device: open_nvidia_gpu(device) for device in sorted(set(gpu.values()))}
        for pid in pids:
            with suppress(psutil.Error):  # it has ended
                its_gpu = gpus[gpu[pid]] if pid in gpu else None
                self._watched.setdefault(pid, _Watched(psutil.Process(pid), its_gpu))
        stop = threading.Event()
        thread = threading.Thread(
            target=self._sample_until, args=(stop,), name="u2forge-utilization", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._turn = None
            for one in gpus.values():
                if one is not None:
                    one.close()

    def turn_begins(self, pid: int) -> None:
        """From now on this process is meant, one of those that are watched; one that has ended has no turn."""
        watched = self._watched.get(pid)
        machine = read_machine_state()
        reading = None if watched is None else _read(watched.process)
        if watched is None or reading is None:
            return
        with self._lock:
            self._turn = _Turn(watched, machine, _cpu_s(self._own), reading, reading)

    def turn_ends(self) -> None:
        """Until the next turn begins, nobody is meant."""
        with self._lock:
            turn, self._turn = self._turn, None
            if turn is None or not self._advance(turn):
                return
            own_s = _cpu_s(self._own) - turn.own_s
        machine = read_machine_state()
        self._states.append((turn.machine, machine))
        watched = turn.watched
        watched.turns_s += machine.at_s - turn.machine.at_s
        if machine.busy_s is None or turn.machine.busy_s is None:
            watched.others_s = None
        elif watched.others_s is not None:
            cpu_s = turn.last.cpu_s - turn.start.cpu_s
            watched.others_s += machine.busy_s - turn.machine.busy_s - cpu_s - own_s
        self._processors = machine.processors

    def utilization(self, pid: int) -> dict[str, Spread | None]:
        """By UTILIZATION, what was seen during that process's turns; None where nothing was told, and of the GPU where
        the process does not run on it. The GPU's figures are of the whole GPU."""
        watched = self._watched.get(pid)
        samples = {} if watched is None else watched.samples
        return {name: spread_of(samples[name]) if samples.get(name) else None for name in UTILIZATION}

    def other_load(self, pid: int | None = None) -> float | None:
        """The share of the processors that this process may run on, which other processes used during that process's
        turns (None: all turns), 0 to 1; None where it is not known, and of turns too short to tell. Candidates that
        wait for their turn are others too."""
        chosen = [one for key, one in self._watched.items() if one.turns_s and pid in (None, key)]
        shares = [one.others_s for one in chosen]
        turns_s = sum(one.turns_s for one in chosen)
        if turns_s < _LEAST_TURNS_S or None in shares:
            return None
        total_s = turns_s * self._processors
        return min(1.0, max(0.0, sum(share for share in shares if share is not None) / total_s))

    def warnings(self) -> list[str]:
        """What was wrong with the machine as a whole during all turns."""
        return machine_warnings(self._states)

    def machine(self) -> Mapping[str, Spread | None]:
        """Temperature and frequency of the processors at the ends of turns; None where the system does not tell."""
        ends = [end for _, end in self._states]
        found = {
            "temperature_c": [state.temperature_c for state in ends if state.temperature_c is not None],
            "frequency_mhz": [state.frequency_mhz for state in ends if state.frequency_mhz is not None],
        }
        return {name: spread_of(values) if values else None for name, values in found.items()}

    def _sample_until(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_s):
            with self._lock:
                if self._turn is not None:
                    self._advance(self._turn)

    def _advance(self, turn: _Turn) -> bool:
        """Adds the time since the last reading, and a sample where there is enough of it; whether the process still
        runs."""
        reading = _read(turn.watched.process)
        if reading is None:
            return False
        watched = turn.watched
        watched.window_s += reading.at_s - turn.last.at_s
        watched.window_cpu_s += reading.cpu_s - turn.last.cpu_s
        turn.last = reading
        # The system counts processor time in steps of 10 ms: shorter windows would tell noise.
        if watched.window_s < self._interval_s / 2:
            return True
        found = {
            "cpu_percent": 100 * watched.window_cpu_s / watched.window_s,
            "memory_mb": _memory_mb(watched.process),
            **({} if watched.gpu is None else watched.gpu.read()),
        }
        watched.window_s = watched.window_cpu_s = 0.0
        for name, value in found.items():
            if value is not None:
                watched.samples.setdefault(name, []).append(value)
        return True


def _read(process: psutil.Process) -> _Reading | None:
    try:
        return _Reading(time.perf_counter(), _cpu_s(process))
    except psutil.Error:
        return None


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory_mb(process: psutil.Process) -> float | None:
    try:
        return float(process.memory_info().rss / 1e6)
    except psutil.Error:
        return None
