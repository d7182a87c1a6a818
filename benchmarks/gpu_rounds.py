"""Candidates at one batch size: opened, their maps checked, timed in turn, one row each, also of those that fail."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gpu_accuracy import differences, maps_of, verdict
from gpu_candidates import LIMITS, Candidate
from gpu_opened import Float32, Opened
from gpu_state import GpuState
from gpu_time import RunTime, TimeLimitError
from u2forge.measure.spread import spread_of

# Of a turn: one inference at a time; the rest is for as many as fit.
_LATENCY_SHARE = 0.35
_LEAD_IN = 2


@dataclass(frozen=True)
class Conditions:
    """What a round is measured under. reference: the photos' float32 maps. seconds: of each candidate, in so many
    turns. reserve_s: what later stages need. tflop_per_s: the device's own rate, by arithmetic."""

    device: torch.device
    photos: Float32
    reference: Sequence[Float32]
    seconds: float
    turns: int
    reserve_s: float
    run_time: RunTime
    state: GpuState
    gflop: float
    tflop_per_s: dict[str, float]


@dataclass
class Entry:
    """A candidate's row so far, and its turns."""

    candidate: Candidate
    row: dict[str, Any]
    opened: Opened | None = None
    latency_ms: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    inferences_per_s: list[float] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    no_memory: bool = False

    def fail(self, error: BaseException) -> None:
        """Writes the reason down, and lets go of what was open."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.row |= {"status": "failed", "reason": (lines or [type(error).__name__])[0][:400]}
        self.no_memory = isinstance(error, torch.OutOfMemoryError)
        self.close()

    def close(self) -> None:
        """Lets go of the candidate's memory."""
        if self.opened is not None:
            self.row |= self.opened.facts
            with suppress(Exception):  # likewise
                self.opened.close()
            self.opened = None
        gc.collect()
        with suppress(RuntimeError):  # of a GPU that failed before; each row says so by itself
            torch.cuda.empty_cache()


def measure_round(
    chosen: Sequence[Candidate], batch_size: int, conditions: Conditions
) -> list[dict[str, Any]]:
    """A row for each. What had no memory beside the others is measured once more, alone."""
    entries = [_entry(candidate, batch_size) for candidate in chosen]
    try:
        _measure(entries, batch_size, conditions)
        for entry in [entry for entry in entries if entry.no_memory]:
            entry.row = _entry(entry.candidate, batch_size).row | {"interleaved": False}
            _measure([entry], batch_size, conditions)
    finally:
        for entry in entries:
            entry.close()
    return [entry.row for entry in entries]


def _entry(candidate: Candidate, batch_size: int) -> Entry:
    row = {
        "candidate": candidate.name,
        "group": candidate.group,
        "arithmetic": candidate.arithmetic,
        "batch_size": batch_size,
        "status": "complete",
        "reason": "",
    }
    reason = candidate.hindrance
    if not reason and candidate.batches is not None and batch_size not in candidate.batches:
        reason = "not asked for at this batch size"
    return Entry(candidate, row | ({"status": "left out", "reason": reason} if reason else {}))


def _measure(entries: Sequence[Entry], batch_size: int, conditions: Conditions) -> None:
    for entry in entries:
        if entry.row["status"] != "left out":
            _open(entry, batch_size, conditions)
    ready = [entry for entry in entries if entry.opened is not None]
    for _ in range(conditions.turns):
        for entry in [entry for entry in ready if entry.opened is not None]:
            try:
                _turn(entry, conditions.seconds / conditions.turns)
            except Exception as error:  # drivers raise whatever they like
                entry.fail(error)
    for entry in ready:
        if entry.latency_ms and entry.inferences_per_s:
            entry.row |= _figures(entry, batch_size, conditions)
            conditions.run_time.say(
                f"batch {batch_size}, {entry.candidate.name}: {entry.row['pictures_per_s']:.1f} pictures/s, "
                f"{entry.row['latency_ms']:.3f} ms"
            )
        entry.close()


def _open(entry: Entry, batch_size: int, conditions: Conditions) -> None:
    """Opens it, and checks its maps: one that fails there is timed all the same, and stays failed."""
    candidate, device, run_time = entry.candidate, conditions.device, conditions.run_time
    if run_time.left_s(reserve_s=conditions.reserve_s) <= 0:
        entry.row |= {"status": "left out", "reason": "no time left"}
        return
    start, before = time.perf_counter(), 0
    try:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        entry.opened = candidate.open(batch_size)
        found = differences(maps_of(entry.opened, conditions.photos, batch_size), conditions.reference)
    except (Exception, TimeLimitError) as error:  # compilers and drivers raise whatever they like
        entry.fail(error)
        run_time.say(f"batch {batch_size}, {candidate.name}: {entry.row['reason']}")
        return
    entry.row |= found | {"opening_s": round(time.perf_counter() - start, 2)}
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) - before
        entry.row["torch_memory_mb"] = round(peak / 1e6)
    reason = verdict(found, LIMITS.get(candidate.arithmetic))
    if reason:
        entry.row |= {"status": "failed", "reason": reason}
    run_time.say(
        f"batch {batch_size}, {candidate.name}: open, mean difference {found['mean_difference']:.6f} {reason}"
    )
    entry.opened.take(np.stack([conditions.photos[at % len(conditions.photos)] for at in range(batch_size)]))


def _turn(entry: Entry, seconds: float) -> None:
    opened = entry.opened
    assert opened is not None
    clock = time.perf_counter
    for _ in range(_LEAD_IN):
        opened.once()
    turn_start = clock()
    while True:
        start = clock()
        parts = opened.once()
        entry.latency_ms.append((clock() - start) * 1000)
        for name, value in parts.items():
            entry.parts.setdefault(name, []).append(value)
        if clock() - turn_start >= seconds * _LATENCY_SHARE:
            break
    rest = seconds * (1 - _LATENCY_SHARE)
    # At least two: what one copies overlaps with what the other computes.
    depth = min(opened.depth, max(2, round(rest / (entry.latency_ms[-1] / 1000))))
    start, done = clock(), 0
    waiting = deque([opened.launch() for _ in range(depth)])
    while waiting:
        waiting.popleft()()
        done += 1
        if clock() - start < rest:
            waiting.append(opened.launch())
    end = clock()
    entry.inferences_per_s.append(done / (end - start))
    entry.spans.append((turn_start, end))


def _figures(entry: Entry, batch_size: int, conditions: Conditions) -> dict[str, Any]:
    latency = spread_of(entry.latency_ms, (10, 90))
    rates = [batch_size * rate for rate in entry.inferences_per_s]
    pictures_per_s = float(np.median(rates))
    peak = conditions.tflop_per_s.get(entry.candidate.arithmetic)
    share = None if peak is None else pictures_per_s * conditions.gflop / 1000 / peak
    return {
        "pictures_per_s": round(pictures_per_s, 3),
        "turns_pictures_per_s": [round(rate, 3) for rate in rates],
        "latency_ms": round(latency.median, 4),
        "latency_p10_ms": round(latency.percentiles[10], 4),
        "latency_p90_ms": round(latency.percentiles[90], 4),
        "inferences_timed": latency.count,
        "parts_ms": {name: round(float(np.median(values)), 4) for name, values in entry.parts.items()},
        "share_of_limit": None if share is None else round(share, 4),
        **conditions.state.between(entry.spans),
    }
