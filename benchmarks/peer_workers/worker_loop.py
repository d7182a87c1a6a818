"""A peer's answers to what `u2forge.measure.perf_worker` is asked: opened, warmed up, given turns, in JSON lines.

Each request is a line on standard input, each answer a line on standard output: `open` (a candidate and the peer's
`options`), `check` (the path of a file to write all answers into), `warm_up` (milliseconds), `turn` (seconds and
iterations, at least; most_seconds; lead_in, how many come before that are not counted), `close`. An error is an answer
too, and ends the process. Runs in the peer's environment: needs numpy only.
"""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np


@dataclass(frozen=True)
class Opened:
    """A peer, ready. run: one inference of an item; version: of the peer's package; executed: what it computes in;
    items: what it runs on, in turn, None for the batches of the candidate's input file; map_of: the map or mask
    (…, h, w) that an answer holds."""

    run: Callable[[Any], Any]
    version: str
    executed: str
    items: Sequence[Any] | None = None
    map_of: Callable[[Any], Any] = np.asarray


OpenPeer = Callable[[Mapping[str, Any]], Opened]


def answer_requests(open_peer: OpenPeer) -> int:
    """Answers until `close` or the end of the input; the process's exit code."""
    # A Ctrl-C is for the parent, which closes the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _private_output()
    work = _Work(open_peer)
    for line in sys.stdin:
        request = json.loads(line)
        if "close" in request:
            break
        try:
            answer = work.answer(request)
        # Whatever a peer raises is its row's reason.
        except Exception as error:
            _say(answers, {"error": _parts(next(iter(request)), error)})
            return 1
        _say(answers, answer)
    return 0


def _private_output() -> TextIO:
    """Standard output for answers alone; whatever libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _parts(request: str, error: Exception) -> dict[str, str]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = f"{type(error).__name__}: {' '.join(lines)[:400]}"
    fix = "see the peer's own documentation"
    return {"kind": "EngineError", "where": request, "expected": "an answer", "found": found, "fix": fix}


class _Work:
    """What is open between two requests."""

    def __init__(self, open_peer: OpenPeer) -> None:
        self._open_peer = open_peer
        self._opened: Opened | None = None
        self._items: Sequence[Any] = ()
        # How many inferences there were in all turns: each goes on where the last one stopped, as items differ in
        # their work.
        self._done = 0

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to any request but `close`."""
        if "open" in request:
            return {"opened": self._open(request["open"])}
        if "check" in request:
            return {"checked": self._check(request["check"])}
        if "warm_up" in request:
            turn = self._turn(seconds=request["warm_up"] / 1000, iterations=1)
            return {
                "warmed_up": {"wall_ms": turn["wall_s"] * 1000, "iterations": len(turn["samples"]["latency"])}
            }
        return {"turn": self._turn(**request["turn"])}

    def _open(self, candidate: Mapping[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        self._opened = self._open_peer(candidate)
        opened = time.perf_counter()
        self._items = self._opened.items or _batches(candidate["inputs"][0])
        self._opened.run(self._items[0])
        opening_ms = {
            "engine": (opened - start) * 1000,
            "first_inference": (time.perf_counter() - opened) * 1000,
        }
        return {
            "engine": candidate["engine"],
            "engine_version": self._opened.version,
            "executed": self._opened.executed,
            "threads": candidate["threads"],
            "opening_ms": opening_ms,
        }

    def _check(self, path: str) -> str:
        """Writes each item's answer, (h, w), into an .npz of `arr_0`, `arr_1`, …"""
        opened = self._ready()
        maps = [np.array(opened.map_of(opened.run(item))) for item in self._items]
        np.savez(path, *(one.reshape(one.shape[-2:]) for one in maps))
        return path

    def _turn(
        self, *, seconds: float, iterations: int, most_seconds: float = math.inf, lead_in: int = 0
    ) -> dict[str, Any]:
        """At least one inference, until both `seconds` and `iterations` are reached, or `most_seconds`."""
        opened = self._ready()
        for _ in range(lead_in):
            opened.run(self._next_item())
        latency: list[float] = []
        clock = time.perf_counter
        # Python's collection of cycles, which would fall into one inference of many, waits.
        gc.collect()
        gc.disable()
        cpu_start, start = time.process_time(), clock()
        while not latency or (
            clock() - start < most_seconds and (len(latency) < iterations or clock() - start < seconds)
        ):
            item = self._next_item()
            before = clock()
            opened.run(item)
            latency.append((clock() - before) * 1000)
        wall_s, cpu_s = clock() - start, time.process_time() - cpu_start
        gc.enable()
        return {"wall_s": wall_s, "cpu_s": cpu_s, "samples": {"latency": latency}}

    def _next_item(self) -> Any:
        item = self._items[self._done % len(self._items)]
        self._done += 1
        return item

    def _ready(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("`open` comes first")
        return self._opened


def _batches(path: str) -> list[Any]:
    """Each (1, 3, H, W) float32 of an array (N, 3, H, W)."""
    inputs = np.load(path)
    return [np.ascontiguousarray(inputs[index : index + 1]) for index in range(len(inputs))]
