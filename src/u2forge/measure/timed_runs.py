"""A function that does one inference → timed runs of it: so many, for so long, in a thread for each stream."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

# Does one inference, given its number, and says how long its parts took, in milliseconds.
RunOnce = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class Turn:
    """What one turn of a candidate gave. wall_s: from its start to its last answer; cpu_s: processor time of the
    whole process; samples: milliseconds of each inference, `latency` and whatever parts it tells."""

    wall_s: float
    cpu_s: float
    samples: Mapping[str, list[float]]


def timed_turn(run_once: RunOnce, *, seconds: float, iterations: int, streams: int = 1) -> Turn:
    """Inferences until both `seconds` have passed and `iterations` are done; at least one in each stream.

    Each stream does equally many: one that ran on alone would have the machine to itself, and count as two.
    """
    counts = _Counts(seconds=seconds, each=-(-iterations // streams))
    with _no_collection():
        cpu_start = time.process_time()
        counts.start = time.perf_counter()
        if streams == 1:
            parts = [_run_stream(run_once, counts, 0, 1)]
        else:
            with ThreadPoolExecutor(streams) as threads:
                found = [
                    threads.submit(_run_stream, run_once, counts, index, streams) for index in range(streams)
                ]
                parts = [one.result() for one in found]
        wall_s = time.perf_counter() - counts.start
        cpu_s = time.process_time() - cpu_start
    names = list(dict.fromkeys(name for part in parts for name in part))
    return Turn(wall_s, cpu_s, {name: [value for part in parts for value in part[name]] for name in names})


class _Counts:
    """How many inferences each stream does: settled by the first one that meets both limits."""

    def __init__(self, *, seconds: float, each: int) -> None:
        self.start = 0.0
        self._seconds = seconds
        self._each = each
        self._last: int | None = None
        self._started = 0
        self._lock = threading.Lock()

    def go_on(self, done: int) -> bool:
        """Whether a stream that has done so many does another one."""
        with self._lock:
            enough = done >= max(self._each, 1) and time.perf_counter() - self.start >= self._seconds
            if self._last is None and enough:
                self._last = self._started
            if self._last is not None and done >= self._last:
                return False
            self._started = max(self._started, done + 1)
            return True


def _run_stream(run_once: RunOnce, counts: _Counts, index: int, streams: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {"latency": []}
    done = 0
    clock = time.perf_counter
    while counts.go_on(done):
        start = clock()
        parts = run_once(index + done * streams)
        samples["latency"].append((clock() - start) * 1000)
        for name, milliseconds in parts.items():
            samples.setdefault(name, []).append(milliseconds)
        done += 1
    return samples


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python's collection of cycles, which would fall into one inference of many, waits."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
