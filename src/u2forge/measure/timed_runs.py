"""A function that does one inference → timed runs of it: so many, for so long, in a thread for each stream."""

from __future__ import annotations

import gc
import math
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
    whole process; samples: milliseconds of each inference, `latency` and whatever parts it tells, as they ended."""

    wall_s: float
    cpu_s: float
    samples: Mapping[str, list[float]]


@dataclass(frozen=True)
class TurnLimits:
    """A turn ends when it has `seconds` and `iterations`, or `most_seconds` in any case. lead_in: inferences of each
    stream before it, which are not counted: after a pause the first one finds caches and threads cold."""

    seconds: float
    iterations: int
    most_seconds: float = math.inf
    lead_in: int = 0


def timed_turn(run_once: RunOnce, limits: TurnLimits, *, streams: int = 1) -> Turn:
    """Inferences until the limits are met; at least one in each stream.

    Each stream does equally many: one that ran on alone would have the machine to itself, and count as two.
    """
    with _no_collection(), ThreadPoolExecutor(streams) as threads:
        if limits.lead_in:
            lead_in = TurnLimits(seconds=0, iterations=limits.lead_in * streams)
            _run_streams(run_once, _Counts(lead_in, streams), streams, threads)
        counts = _Counts(limits, streams)
        cpu_start = time.process_time()
        ended = _run_streams(run_once, counts, streams, threads)
        wall_s = time.perf_counter() - counts.start
        cpu_s = time.process_time() - cpu_start
    in_order = [parts for _, parts in sorted(ended, key=lambda one: one[0])]
    return Turn(wall_s, cpu_s, {name: [parts[name] for parts in in_order] for name in in_order[0]})


_Ended = list[tuple[float, Mapping[str, float]]]


def _run_streams(run_once: RunOnce, counts: _Counts, streams: int, threads: ThreadPoolExecutor) -> _Ended:
    """When each inference ended, and its times."""
    if streams == 1:  # a thread hop would be a part of what is measured
        return _run_stream(run_once, counts, 0, 1)
    found = [threads.submit(_run_stream, run_once, counts, index, streams) for index in range(streams)]
    return [one for stream in found for one in stream.result()]


class _Counts:
    """How many inferences each stream does: settled by the first one that meets the limits."""

    def __init__(self, limits: TurnLimits, streams: int) -> None:
        self._limits = limits
        self._each = max(1, -(-limits.iterations // streams))
        self._last: int | None = None
        self._started = 0
        self._lock = threading.Lock()
        self.start = time.perf_counter()

    def go_on(self, done: int) -> bool:
        """Whether a stream that has done so many does another one."""
        with self._lock:
            if self._last is None and done and self._is_enough(done):
                self._last = self._started
            if self._last is not None and done >= self._last:
                return False
            self._started = max(self._started, done + 1)
            return True

    def _is_enough(self, done: int) -> bool:
        passed = time.perf_counter() - self.start
        return passed >= self._limits.most_seconds or (done >= self._each and passed >= self._limits.seconds)


def _run_stream(run_once: RunOnce, counts: _Counts, index: int, streams: int) -> _Ended:
    ended: _Ended = []
    clock = time.perf_counter
    while counts.go_on(len(ended)):
        start = clock()
        parts = run_once(index + len(ended) * streams)
        end = clock()
        ended.append((end, {"latency": (end - start) * 1000, **parts}))
    return ended


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
